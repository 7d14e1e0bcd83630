"""The second stage of injection's cascade: SmolLM2 with a low-rank adapter (LoRA, arXiv 2106.09685), for texts that the encoder finds doubtful.

The encoder is a small model of English and misses attacks in other words and languages. A language model of five times its size
finds more of them, and reads only the doubtful texts (a cascade of classifiers: Viola and Jones 2001).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from tokenizers import Tokenizer
from torch import Tensor, nn

from detectors.errors import WeightsError
from detectors.models.minilm import pad
from detectors.models.multitask import merge
from detectors.models.recent import Recent
from detectors.models.smollm import END, HIDDEN, START, read_smollm
from detectors.models.smollm_graph import CompiledSmolLM
from detectors.models.term_model import load_secrets
from detectors.models.token_windows import buckets
from detectors.models.weight_files import SECOND_STAGE, WeightFile
from detectors.normalise.unicode import without_surrogates

#: As in `detectors.models.multitask.OUTPUTS`.
OUTPUTS = ("injection", "secret")
#: Tokens of a window without `START`, and between the starts of two windows.
WINDOW, STRIDE = 112, 88
#: Maximum number of characters of a text.
MAX_CHARACTERS = 16_000
#: Maximum number of tokens of a batch. Larger batches are not faster, and OpenVINO keeps the memory that the largest needs (0.36 GB for 2,048 tokens).
TOKENS = 512
#: Maximum number of tokens of a system prompt before a text.
SYSTEM = 192


class Row(NamedTuple):
    """The token ids of a window of a text, perhaps after a system prompt, and the index of the text's first token."""

    ids: list[int]
    start: int


class Rows:
    """Makes rows of token ids: a text alone, or after a system prompt in the chat template of SmolLM2."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._before, self._user, self._line = self.encode(["system\n", "user\n", "\n"])
        #: `_secret_part` with its last 256 results.
        self.system = lru_cache(maxsize=256)(self._secret_part)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text; lone surrogates are replaced."""
        cleaned = [without_surrogates(text) for text in texts]
        return [found.ids for found in self._tokenizer.encode_batch(cleaned, add_special_tokens=False)]

    def passages(self, text: str) -> list[str]:
        """Return the parts of a text that have the tokens of a window each."""
        cleaned = without_surrogates(text)
        offsets = self._tokenizer.encode(cleaned, add_special_tokens=False).offsets
        if len(offsets) <= WINDOW:
            return [cleaned] if offsets else []
        parts = [offsets[start : start + WINDOW] for start in range(0, len(offsets) - WINDOW + STRIDE, STRIDE)]
        return [cleaned[part[0][0] : part[-1][1]] for part in parts]

    def row(self, text: Sequence[int], system: Sequence[int] = ()) -> Row:
        """Return the row of a window of a text, after the system prompt if there is one."""
        before = [START]
        if system:
            before += [*self._before, *system, END, *self._line, START, *self._user]
        return Row([*before, *text], len(before))

    def _secret_part(self, prompt: str) -> tuple[int, ...]:
        """Return at most `SYSTEM` token ids of a system prompt: of a longer one, the part that most likely keeps a secret."""
        found = self._tokenizer.encode(without_surrogates(prompt), add_special_tokens=False)
        starts = range(0, max(1, len(found.ids) - SYSTEM // 2), SYSTEM // 2)
        parts = [slice(start, start + SYSTEM) for start in starts]
        if len(parts) == 1:
            return tuple(found.ids[parts[0]])

        def secret(part: slice) -> float:
            offsets = found.offsets[part]
            return load_secrets().log_odds(prompt[offsets[0][0] : offsets[-1][1]])

        return tuple(found.ids[max(parts, key=secret)])


class SecondStage(nn.Module):
    """SmolLM2's first layers and a linear head, which returns one logit per output for each row of token ids."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.norm = nn.LayerNorm(2 * HIDDEN)
        self.head = nn.Linear(2 * HIDDEN, len(OUTPUTS))
        #: Weights of the encoder's and of this model's log-odds, and a shift; see `TextReader.combine`.
        self.register_buffer("combination", torch.tensor([1.0, 0.0, 0.0]))
        #: The constants of a request beside a system prompt with a secret; see `detectors.text.system_rules`.
        self.register_buffer("conflict", torch.tensor([1.0, 0.0, 0.0, 0.0]))

    combination: Tensor
    conflict: Tensor

    def forward(self, ids: Tensor, starts: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits, (n, outputs), of rows ``ids``, (n, length).

        A row has ``lengths`` tokens, (n), and its text begins at ``starts``, (n). The head reads the mean of the text's token vectors and the
        last of them, but not that of `START`: it is a thousand times as long as others.
        """
        hidden = self.backbone(ids)
        places = torch.arange(ids.shape[1])
        counted = ((places >= starts[:, None]) & (places < lengths[:, None]))[..., None]
        mean = (hidden * counted).sum(1) / (lengths - starts)[:, None]
        last = hidden[torch.arange(len(ids)), lengths - 1]
        features = self.norm(torch.cat([mean, last], dim=1))
        # As a matrix product, the rounding of a row would depend on the number of rows.
        logits: Tensor = (features[:, None] * self.head.weight).sum(dim=2) + self.head.bias
        return logits


def pad_rows(rows: Sequence[Row]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the token ids of ``rows``, (n, length), and the start of the text and the length of each row, (n)."""
    ids, mask = pad([row.ids for row in rows])
    return ids, torch.tensor([row.start for row in rows]), mask.sum(1)


class TextReader:
    """Reads passages of texts with the second stage; results of recent passages are cached."""

    def __init__(self, model: SecondStage, tokenizer: Tokenizer) -> None:
        self._model, self._rows = model, Rows(tokenizer)
        #: The constants of `detectors.text.system_rules.conflict_log_odds` for three readings.
        self.conflict: list[float] = model.conflict.tolist()
        self._recent = Recent[tuple[str, str], tuple[float, ...]]()

    def passages(self, text: str) -> list[str]:
        """Return the parts of a text for `log_odds`: each has the tokens of a window, and consecutive windows overlap.

        A text of more than `MAX_CHARACTERS` has no parts.
        """
        return self._rows.passages(text) if len(text) <= MAX_CHARACTERS else []

    def log_odds(self, passages: Sequence[str], systems: Sequence[str] = ()) -> NDArray[np.float64]:
        """Return the log-odds of each output for each passage, (passages, outputs).

        ``systems`` are the system prompts of the passages, or empty. Beside a system prompt, only the output ``secret`` is trained.
        Not for several threads at once.
        """
        inputs = list(zip(passages, systems or [""] * len(passages), strict=True))
        return np.array(self._recent.of(inputs, self._read)).reshape(-1, len(OUTPUTS))

    def _read(self, inputs: Sequence[tuple[str, str]]) -> list[tuple[float, ...]]:
        rows = [
            self._rows.row(ids[:WINDOW], self._rows.system(prompt) if prompt else ())
            for ids, (_, prompt) in zip(self._rows.encode([text for text, _ in inputs]), inputs, strict=True)
        ]
        odds = np.zeros((len(rows), len(OUTPUTS)))
        with torch.inference_mode():
            for batch in buckets([row.ids for row in rows], TOKENS):
                odds[batch] = self._model(*pad_rows([rows[index] for index in batch])).double().numpy()
        return [tuple(row) for row in odds.tolist()]

    def combine(self, encoder: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-odds of texts, (n), from those of the encoder and of this model, (n) each."""
        first, second, shift = self._model.combination.double().tolist()
        found: NDArray[np.float64] = first * encoder + second * own + shift
        return found


def load_text_reader(weights: WeightFile = SECOND_STAGE, threads: int = 0) -> TextReader:
    """Load SmolLM2, the adapter ``weights`` and the tokenizer; 0 threads: as many as torch uses in this process.

    Raises WeightsError if a file is missing, if its SHA-256 is wrong, or if ``weights`` are those of another model.
    """
    read, tokenizer = read_smollm()

    def merged(name: str) -> Tensor:
        value, stem = read(name), name.removesuffix(".weight")
        if f"{stem}.a" in delta:
            value += delta.pop(f"{stem}.b").float() @ delta.pop(f"{stem}.a").float()
        return value

    wrong = WeightsError(f"{weights.path} has no weights of the second stage: {weights.remedy}")
    try:
        delta = load_safetensors(weights.read())
        model = SecondStage(CompiledSmolLM(merged, threads))
        merge(model, {name: delta.pop(name) for name in model.state_dict()})
    except (KeyError, RuntimeError, SafetensorError) as error:
        raise wrong from error
    if delta:
        raise wrong
    return TextReader(model.eval().requires_grad_(requires_grad=False), tokenizer)
