"""The second stage of injection's cascade: SmolLM2 with a low-rank adapter (LoRA, arXiv 2106.09685), for texts that the encoder finds doubtful.

The encoder is a small model of English and misses attacks in other words and languages. A language model of five times its size
finds more of them, and reads only the doubtful texts (a cascade of classifiers: Viola and Jones 2001).
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from tokenizers import Tokenizer
from torch import Tensor, nn

from detectors.errors import WeightsError
from detectors.models.multitask import merge
from detectors.models.smollm import HIDDEN, START, load_smollm
from detectors.models.smollm_graph import CompiledSmolLM
from detectors.models.token_windows import buckets, padded
from detectors.models.weight_files import SECOND_STAGE, WeightFile
from detectors.normalise.unicode import without_surrogates

__all__ = [
    "MAX_WINDOWS",
    "OUTPUTS",
    "STRIDE",
    "WINDOW",
    "SecondStage",
    "TextReader",
    "load_text_reader",
    "pad_rows",
]

#: As in `detectors.models.multitask.OUTPUTS`.
OUTPUTS = ("injection", "secret")
#: Tokens of a window without `START`, and between the starts of two windows.
WINDOW, STRIDE = 112, 88
#: Maximum number of windows of a text, and of its characters (22 for each token). Longer texts would need seconds.
MAX_WINDOWS, MAX_CHARACTERS = 8, 16_000


class SecondStage(nn.Module):
    """SmolLM2's first layers and a linear head, which returns one logit per output for each row of token ids."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.norm = nn.LayerNorm(2 * HIDDEN)
        self.head = nn.Linear(2 * HIDDEN, len(OUTPUTS))
        #: Weights of the encoder's and of this model's log-odds, and a shift; see `TextReader.combine`.
        self.register_buffer("combination", torch.tensor([1.0, 0.0, 0.0]))

    combination: Tensor

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits, (n, outputs), of rows ``ids``, (n, length), which begin with `START` and have ``lengths`` tokens each, (n).

        The head reads the mean of the token vectors and the last of them, without that of `START`: it is a thousand times as long as others.
        """
        hidden = self.backbone(ids)
        places = torch.arange(ids.shape[1])
        counted = ((places > 0) & (places < lengths[:, None]))[..., None]
        mean = (hidden * counted).sum(1) / (lengths[:, None] - 1)
        last = hidden[torch.arange(len(ids)), lengths - 1]
        logits: Tensor = self.head(self.norm(torch.cat([mean, last], dim=1)))
        return logits


def pad_rows(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return the token ids of ``rows``, (n, length), and the length of each row, (n)."""
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.zeros(len(rows), padded(int(lengths.max())), dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
    return ids, lengths


class TextReader:
    """Reads texts with the second stage, in windows of 112 tokens."""

    def __init__(self, model: SecondStage, tokenizer: Tokenizer) -> None:
        self._model, self._tokenizer = model, tokenizer

    def log_odds(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the log-odds of each output for each text, (texts, outputs): those of its highest window.

        A text of more than `MAX_WINDOWS` windows or `MAX_CHARACTERS` is not read, and neither is a text without tokens: its log-odds are NaN.
        """
        rows, owners = [], []
        cleaned = [without_surrogates(text) if len(text) <= MAX_CHARACTERS else "" for text in texts]
        for owner, found in enumerate(self._tokenizer.encode_batch(cleaned, add_special_tokens=False)):
            starts = range(0, max(1, len(found.ids) - WINDOW + STRIDE), STRIDE)
            if found.ids and len(starts) <= MAX_WINDOWS:
                rows += [[START, *found.ids[start : start + WINDOW]] for start in starts]
                owners += [owner] * len(starts)
        odds = np.zeros((len(rows), len(OUTPUTS)))
        with torch.inference_mode():
            for batch in buckets(rows):
                odds[batch] = self._model(*pad_rows([rows[index] for index in batch])).double().numpy()
        best = np.full((len(texts), len(OUTPUTS)), np.nan)
        np.fmax.at(best, owners, odds)
        return best

    def combine(self, encoder: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-odds of texts, (n), from those of the encoder and of this model, (n) each."""
        first, second, shift = self._model.combination.double().tolist()
        found: NDArray[np.float64] = first * encoder + second * own + shift
        return found


def _merge_all(model: SecondStage, delta: dict[str, Tensor]) -> None:
    """Apply an adapter that has weights for the head; raises KeyError or RuntimeError if it is of another model."""
    if missing := {name for name in model.state_dict() if not name.startswith("backbone.")} - delta.keys():
        raise KeyError(min(missing))
    merge(model, delta)


def load_text_reader(weights: WeightFile = SECOND_STAGE, threads: int = 0) -> TextReader:
    """Load SmolLM2, the adapter ``weights`` and the tokenizer; 0 threads: as many as torch uses in this process.

    Raises WeightsError if a file is missing, if its SHA-256 is wrong, or if ``weights`` are those of another model.
    """
    backbone, tokenizer = load_smollm()
    model = SecondStage(backbone)
    try:
        _merge_all(model, load_safetensors(weights.read()))
    except (KeyError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{weights.path} has no weights of the second stage: {weights.remedy}") from error
    model.backbone = CompiledSmolLM(backbone, threads)
    return TextReader(model.eval().requires_grad_(requires_grad=False), tokenizer)
