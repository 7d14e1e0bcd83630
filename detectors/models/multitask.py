"""The encoder that toxicity, injection and refusal share: MiniLM with a low-rank adapter and a head per output.

Three fine-tuned encoders would need three forward passes and 270 MB. The adapter (Hu et al., LoRA, arXiv 2106.09685)
has 8 MB (the 96 largest singular values of each change). `merge` adds it to MiniLM's matrices at load, so scoring is not slower.
After the first of six layers, an `EarlyExit` decides the clear windows (DeeBERT, Xin et al., arXiv 2004.12993).
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from detectors.errors import WeightsError
from detectors.models.backbone import compiled
from detectors.models.compute import Compute
from detectors.models.minilm import HIDDEN, MiniLM, load_minilm, pad
from detectors.models.token_windows import buckets
from detectors.models.weight_files import ENCODER, WeightFile

TASKS = ("toxicity", "injection", "refusal")
CATEGORIES = ("hate", "harassment", "sexual", "violence", "self_harm")
#: ``secret``: the text asks for something that the assistant keeps secret. Only the injection detector uses it, for system prompts with a secret.
OUTPUTS = (*TASKS, *CATEGORIES, "secret")
INNER = 48
#: The layer after which clear windows are decided, and the indices of the outputs that must all be clear.
EXIT_LAYER = 1
EXITS = (0, 1, 2, OUTPUTS.index("secret"))
#: Log-odds of an output that was not computed.
NOT_COMPUTED = -30.0


def pooled(hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the first token vector, and the mean and maximum of all vectors, (n, 3 * 384); ``mask`` is true at tokens."""
    wide = mask[..., None]
    mean = (hidden * wide).sum(1) / wide.sum(1)
    return torch.cat([hidden[:, 0], mean, hidden.masked_fill(~wide, -torch.inf).amax(1)], dim=1)


class Heads(nn.Module):
    """One small perceptron per output; its input is `pooled`, and `extra_features` values."""

    def __init__(self, outputs: int, extra_features: int = 0) -> None:
        super().__init__()
        self.inner = nn.Linear(3 * HIDDEN + extra_features, INNER * outputs)
        self.outer = nn.Parameter(torch.zeros(outputs, INNER))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits, (n, outputs), of the features, (n, 3 * 384 + extra_features)."""
        inner = nn.functional.gelu(self.inner(features))
        return (inner.view(-1, len(self.bias), INNER) * self.outer).sum(2) + self.bias


class EarlyExit(nn.Module):
    """Heads that read the token vectors after layer `EXIT_LAYER` and the linear model's log-odds of the text.

    A window is clear if each log-odds is below its limit; the other layers are then skipped. The heads are computed in float64, so that
    this decision does not depend on the other windows of the batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heads = Heads(len(EXITS), len(TASKS))
        self.register_buffer("limits", torch.full((len(EXITS),), -torch.inf))

    limits: Tensor

    def forward(self, hidden: Tensor, mask: Tensor, linear: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-odds of `EXITS`, (n, exits), and whether each window is clear, (n); ``linear`` is (n, tasks)."""
        odds: Tensor = self.heads(torch.cat([pooled(hidden, mask).double(), linear], dim=1))
        return odds, (odds < self.limits).all(1)


class SplitBackbone(nn.Module):
    """An encoder in two parts: up to `EXIT_LAYER`, and the rest."""

    def __init__(self, lower: nn.Module, upper: nn.Module) -> None:
        super().__init__()
        self.lower, self.upper = lower, upper

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the token vectors of both parts together; see `MiniLM.forward`."""
        hidden: Tensor = self.upper(self.lower(ids, mask), mask)
        return hidden


class MultiTask(nn.Module):
    """The shared encoder with its heads, which returns one logit per output for each row of token ids."""

    def __init__(self, backbone: MiniLM) -> None:
        super().__init__()
        self.backbone: nn.Module = backbone
        self.heads = Heads(len(OUTPUTS))
        #: None while the encoder is trained, and for weights without an early exit.
        self.exit: EarlyExit | None = None
        #: Slope and shift of the log-odds of each task that calibrate its probability, (tasks, 2).
        self.register_buffer("calibration", torch.tensor([[1.0, 0.0]] * len(TASKS)))
        #: Constants of `detectors.text.system_rules.conflict_log_odds`; with this default, no request asks for a secret.
        self.register_buffer("conflict", torch.tensor([0.0, 0.0, -30.0]))

    calibration: Tensor
    conflict: Tensor

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the logits, (n, outputs), of the token ids ``ids``, (n, length); ``mask`` is true at tokens."""
        logits: Tensor = self.heads(pooled(self.backbone(ids, mask).float(), mask))
        return logits


def merge(model: nn.Module, delta: dict[str, Tensor]) -> None:
    """Apply an adapter to a model.

    The product of the matrices ``NAME.b`` and ``NAME.a`` is added to the weights of the linear map NAME. The vector
    ``NAME.shift`` is added to the parameter NAME. Tensors with the names of the model's, such as ``heads.…`` and ``calibration``, replace them.
    """
    state = model.state_dict()
    with torch.no_grad():
        for name, value in delta.items():
            stem, _, kind = name.rpartition(".")
            if kind == "a":
                state[f"backbone.{stem}.weight"] += delta[f"{stem}.b"].float() @ value.float()
            elif kind == "shift":
                state[f"backbone.{stem}"] += value.float()
            elif name in state:
                state[name][: len(value)].copy_(value.float())  # earlier weights may have fewer outputs


def load_multitask(
    model_dir: str | None = None,
    weights: WeightFile = ENCODER,
    compute: Compute = Compute(),  # noqa: B008 - it is immutable
) -> MultiTask:
    """Build the shared encoder, for scoring, from the pinned MiniLM and the adapter ``weights``; the heads stay in float32.

    Raises WeightsError if a file is missing, if its SHA-256 is wrong, or if ``weights`` are those of another model, and UnsupportedError if this
    machine does not support `compute`.
    """
    content = weights.read()
    backbone = load_minilm(model_dir)
    model = MultiTask(backbone)
    try:
        delta = load_safetensors(content)
        heads = [name for name in model.state_dict() if name.startswith("heads.")]
        merge(model, delta | {name: delta[name] for name in heads})  # KeyError if a head is missing
    except (KeyError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{weights.path} has no weights of the shared encoder: {weights.remedy}") from error
    model.backbone = SplitBackbone(
        compiled(backbone, compute, last=EXIT_LAYER), compiled(backbone, compute, first=EXIT_LAYER)
    )
    if early := {name.removeprefix("exit."): value for name, value in delta.items() if name.startswith("exit.")}:
        model.exit = EarlyExit().double()
        model.exit.load_state_dict(early)
    return model.eval().requires_grad_(requires_grad=False)


def log_odds(
    model: MultiTask, rows: Sequence[Sequence[int]], linear: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return the log-odds of each output for each row of token ids, (rows, outputs).

    ``linear``, (rows, tasks), has the linear model's log-odds of each row's text. If it is given, clear rows leave at the early exit;
    their outputs outside `EXITS` are `NOT_COMPUTED`. `model` is a result of `load_multitask`.
    """
    result = np.full((len(rows), len(model.heads.bias)), NOT_COMPUTED)
    with torch.inference_mode():
        for batch in map(np.array, buckets(rows)):
            ids, mask = pad([rows[index] for index in batch])
            if linear is None or model.exit is None:
                result[batch] = model(ids, mask).double().numpy()
                continue
            assert isinstance(model.backbone, SplitBackbone)
            hidden = model.backbone.lower(ids, mask)
            early, clear = model.exit(hidden, mask, torch.from_numpy(linear[batch]))
            result[np.ix_(batch[clear.numpy()], EXITS)] = early[clear].numpy()
            if not clear.all():
                rest = model.backbone.upper(hidden[~clear], mask[~clear])
                result[batch[~clear.numpy()]] = model.heads(pooled(rest, mask[~clear])).double().numpy()
    return result
