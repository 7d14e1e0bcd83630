"""Toxicity, injection and refusal: three detectors on one shared encoder (`detectors.multitask`).

Long texts are cut into overlapping windows of 128 tokens and the highest counts. Where a normalised copy reads
differently, both are scored. One forward pass serves all three detectors: the engine of a process keeps the scores of
recent texts under a digest of them, never the texts.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from typing import Annotated, ClassVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors.base import Score, TextDetector
from detectors.errors import NotLoadedError
from detectors.normalise import normalise
from detectors.pinned import ENCODER_DIGEST

__all__ = ["EncoderConfig", "InjectionDetector", "RefusalDetector", "ToxicityDetector"]

TASKS = ("toxicity", "injection", "refusal")
REMEMBERED = 4096


class EncoderConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a detector on the shared encoder.

    Attributes
    ----------
    threshold
        The score from which on a text is flagged; 0 takes the shipped one.
    max_windows
        Windows of a long text that are read; what is left out lowers ``covered``.
    threads
        Torch threads of this process, set at ``load()``; 0 leaves them as they are.
    model_dir
        A folder with the pinned all-MiniLM-L6-v2; empty takes the one inside the wheel.
    """

    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.0
    max_windows: Annotated[int, Meta(ge=1, le=4096)] = 64
    threads: Annotated[int, Meta(ge=0)] = 0
    model_dir: str = ""


class _Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Probability a task, and the share of the text that they rest on."""

    scores: tuple[float, ...]
    covered: float


class Engine:
    """The shared encoder and tokenizer, and the scores of recent texts."""

    def __init__(self, model_dir: str, threads: int) -> None:
        from detectors.minilm import load_tokenizer, set_threads  # noqa: PLC0415 - torch takes seconds to import
        from detectors.multitask import load_multitask  # noqa: PLC0415 - as above

        set_threads(threads)
        self._model = load_multitask(model_dir or None)
        self._tokenizer = load_tokenizer(model_dir or None)
        self._readings: OrderedDict[bytes, _Reading] = OrderedDict()

    def read_many(self, texts: Sequence[str], max_windows: int) -> list[_Reading]:
        """Return a reading of each text, from memory where it was read before."""
        keys = [
            hashlib.blake2b(f"{max_windows}\0{t}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
            for t in texts
        ]
        found = {key: self._readings[key] for key in keys if key in self._readings}
        fresh = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        found |= dict(zip(fresh, self._read(list(fresh.values()), max_windows), strict=True))
        for key in keys:
            self._readings[key] = found[key]
            self._readings.move_to_end(key)
        while len(self._readings) > REMEMBERED:
            self._readings.popitem(last=False)
        return [found[key] for key in keys]

    def _read(self, texts: Sequence[str], max_windows: int) -> list[_Reading]:
        from detectors.tokens import tokenize, windows  # noqa: PLC0415 - tokenizers is loaded with torch

        raw = tokenize(self._tokenizer, texts)
        copies = {index: copy.text for index, text in enumerate(texts) if (copy := normalise(text)) is not None}
        read = dict(zip(copies, tokenize(self._tokenizer, list(copies.values())), strict=True))
        rows: list[list[int]] = []
        owners: list[int] = []
        covered = [1.0] * len(texts)
        for index, ids in enumerate(raw):
            views = [ids] if read.get(index, ids) == ids else [ids, read[index]]
            for view in views:
                cut = windows(view, max(1, max_windows // len(views)))
                rows += cut.rows
                owners += [index] * len(cut.rows)
                covered[index] = min(covered[index], cut.covered)
        found = self._probabilities(rows)
        best = np.zeros((len(texts), found.shape[1]), dtype=np.float64)
        np.maximum.at(best, owners, found)
        return [
            _Reading(scores=tuple(map(float, row)), covered=share) for row, share in zip(best, covered, strict=True)
        ]

    def _probabilities(self, rows: list[list[int]]) -> NDArray[np.float64]:
        from detectors.multitask import probabilities  # noqa: PLC0415 - torch takes seconds to import

        return probabilities(self._model, rows)


@cache
def _engine(model_dir: str, threads: int) -> Engine:
    """Return the engine of this process: three detectors share one."""
    return Engine(model_dir, threads)


class EncoderDetector(TextDetector[EncoderConfig]):
    """What the three detectors have in common; each names its task, its label and its threshold."""

    config_type: ClassVar[type[msgspec.Struct]] = EncoderConfig
    version: ClassVar[str] = f"1+{ENCODER_DIGEST[:8]}"
    label: ClassVar[str]
    threshold: ClassVar[float]

    def __init__(self, config: EncoderConfig | None = None) -> None:
        super().__init__(config)
        self._engine: Engine | None = None

    def load(self) -> None:
        """Load the shared encoder, once a process; see `TextDetector.load`."""
        if self._engine is None:
            self._engine = _engine(self.config.model_dir, self.config.threads)

    def score_many(self, texts: Sequence[str]) -> list[Score]:
        """Score each text; see `TextDetector.score_many`. An empty text scores 0."""
        if self._engine is None:
            raise NotLoadedError(f"{self.name}.score_many before load(): call load() once in the process that scores")
        task = TASKS.index(self.name)
        readings = self._engine.read_many(texts, self.config.max_windows)
        return [self._score(reading.scores[task], reading.covered) for reading in readings]

    def _score(self, score: float, covered: float) -> Score:
        flagged = score >= (self.config.threshold or self.threshold)
        label = self.label if flagged else "ok" if covered >= 1.0 else "error"
        return Score(score=score, label=label, flagged=flagged, covered=covered)


class ToxicityDetector(EncoderDetector):
    """Insults, hate, threats and other abuse."""

    name: ClassVar[str] = "toxicity"
    label: ClassVar[str] = "toxic"
    threshold: ClassVar[float] = 0.55


class InjectionDetector(EncoderDetector):
    """Attempts to override instructions or to make the model drop its rules, direct or hidden in other text."""

    name: ClassVar[str] = "injection"
    label: ClassVar[str] = "injection"
    threshold: ClassVar[float] = 0.7


class RefusalDetector(EncoderDetector):
    """Answers that refuse. Experimental: trained on own phrases and weak labels."""

    name: ClassVar[str] = "refusal"
    label: ClassVar[str] = "refusal"
    threshold: ClassVar[float] = 0.5
