"""The linear model and the encoder that the toxicity, injection and refusal detectors share.

The linear model (`detectors.models.linear`) scores every text in tens of microseconds and decides the clear cases. The
encoder (`detectors.models.multitask`) scores the other texts. If such a text has a disguise such as leetspeak, the
encoder also scores copies in which the disguise is undone (`detectors.normalise.disguise.views`). The encoder reads
overlapping windows of 128 tokens (`combine_windows`). A forward pass serves all three detectors, because each
process caches the outputs of recent texts by digest.
"""

import math
import re
from collections.abc import Sequence
from functools import cache
from typing import Annotated, ClassVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors.base import OK, UNSUPPORTED_LANGUAGE, Score, TextDetector
from detectors.errors import NotLoadedError
from detectors.models.compute import Compute, Device, Precision
from detectors.models.language_model import LanguageModel
from detectors.models.recent import Recent
from detectors.models.weight_files import ENCODER, LINEAR, WeightFile, WeightsConfig
from detectors.normalise.disguise import views

TASKS = ("toxicity", "injection", "refusal")
#: Index of the encoder's output for requests for a secret, in `detectors.models.multitask.OUTPUTS`.
SECRET = 8
#: Indices of the outputs whose score is that of the highest window.
HIGHEST = [TASKS.index("injection"), SECRET]
#: Largest factor by which harmless windows reduce the odds of a text.
WEAKENED = 8.0
#: Highest log-odds of the linear model in the average with the encoder's (probability .995). The sum of its n-grams has no bound: digits that are
#: repeated for lines, such as a hex dump, reach 30, and a text of words rarely 5.
MOST_LINEAR = 5.3
#: Log-odds of a text without tokens.
EMPTY_LOG_ODDS = -30.0
_WORD = re.compile(r"\w+")
Share = Annotated[float, Meta(ge=0, le=1)]


class EncoderConfig(WeightsConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a detector that uses the shared encoder.

    Attributes
    ----------
    threshold
        Texts with this score or a higher one are flagged; 0 selects the shipped threshold.
    limits
        If the linear model's score is below the first limit or at least the second limit, the linear model decides;
        else the encoder decides. None selects the shipped limits; (0, 1) sends every text to the encoder.
    precision
        Numeric type of the encoder's matrix products, a part of the version. ``bfloat16`` and ``int8`` are faster on processors that
        have instructions for them, and change scores by some thousandths or hundredths.
    device
        ``cpu``, or ``cuda`` for a GPU.
    max_windows
        Maximum number of windows that are read from a long text; unread tokens lower ``covered``.
    """

    threshold: Share = 0.0
    limits: tuple[Share, Share] | None = None
    precision: Precision = "float32"
    device: Device = "cpu"
    max_windows: Annotated[int, Meta(ge=1, le=4096)] = 64

    @property
    def compute(self) -> Compute:
        """Numeric type, device and threads of the encoder."""
        return Compute(precision=self.precision, device=self.device, threads=self.threads)


class _Output(msgspec.Struct, frozen=True, kw_only=True):
    odds: tuple[float, ...]
    covered: float


class Engine:
    """The linear model, the encoder, the tokenizer, and caches of both models' outputs."""

    def __init__(self, model_dir: str, compute: Compute, weights: WeightFile) -> None:
        from detectors.models.linear import load_linear  # noqa: PLC0415 - imported together with torch
        from detectors.models.minilm import load_tokenizer, set_threads  # noqa: PLC0415 - torch takes seconds to import
        from detectors.models.multitask import load_multitask  # noqa: PLC0415 - imports torch

        set_threads(compute.threads)
        self._linear = load_linear()
        self._model = load_multitask(model_dir or None, weights, compute)
        #: Slope and shift of the log-odds of each task, (tasks, 2), and the constants of `detectors.text.system_rules.conflict_log_odds`.
        self.calibration: NDArray[np.float64] = self._model.calibration.double().numpy()
        self.conflict: list[float] = self._model.conflict.double().tolist()
        self._tokenizer = load_tokenizer(model_dir or None)
        self._linear_odds = Recent[str, NDArray[np.float64]]()
        self._outputs = Recent[tuple[str, int], _Output]()
        self._language_model, self._languages = LanguageModel(), Recent[str, str]()

    def linear_log_odds(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the linear model's log-odds of each task for each text, (texts, tasks), from the cache for recent texts."""
        return np.stack(self._linear_odds.of(texts, self._screen)) if texts else np.zeros((0, len(TASKS)))

    def languages(self, texts: Sequence[str]) -> list[str]:
        """Return the certain language of each text, or ""; see `detectors.models.language_model.LanguageModel.certain`."""
        return self._languages.of(texts, lambda new: [self._language_model.certain(text) for text in new])

    def _screen(self, texts: Sequence[str]) -> list[NDArray[np.float64]]:
        return list(self._linear.highest_logits([views(text) for text in texts]))

    def encode_many(self, texts: Sequence[str], max_windows: int) -> list[_Output]:
        """Return the encoder's output for each text, from the cache if the text was encoded recently."""
        inputs = [(text, max_windows) for text in texts]
        return self._outputs.of(inputs, lambda new: self._encode([text for text, _ in new], max_windows))

    def _encode(self, texts: Sequence[str], max_windows: int) -> list[_Output]:
        from detectors.models.multitask import log_odds  # noqa: PLC0415 - torch takes seconds to import
        from detectors.models.token_windows import tokenize, windows  # noqa: PLC0415 - tokenizers is loaded with torch

        copies = [_different(views(text)) for text in texts]
        tokens = iter(tokenize(self._tokenizer, [copy for found in copies for copy in found]))
        linear = [tuple(map(float, odds)) for odds in self.linear_log_odds(texts)]
        rows: dict[tuple[tuple[int, ...], tuple[float, ...]], int] = {}
        places: list[tuple[int, list[int]]] = []
        covered = [1.0] * len(texts)
        for index, found in enumerate(copies):
            for _ in found:
                cut = windows(next(tokens), max(1, max_windows // len(found)))
                places.append((index, [rows.setdefault((tuple(row), linear[index]), len(rows)) for row in cut.rows]))
                covered[index] = min(covered[index], cut.covered)
        odds = log_odds(self._model, [row for row, _ in rows], np.array([own for _, own in rows]))
        best = np.full((len(texts), odds.shape[1]), EMPTY_LOG_ODDS)
        for index, own in places:
            if own:
                best[index] = np.maximum(best[index], combine_windows(odds[own]))
        return [_Output(odds=tuple(map(float, row)), covered=share) for row, share in zip(best, covered, strict=True)]


def combine_windows(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log-odds of a text, (outputs,), from those of its windows, (windows, outputs).

    The longer a harmless text, the higher is the highest of its windows. So the mean of the windows' odds counts: the evidence that
    one window is positive, if all windows are equally probable. It is at most a factor `WEAKENED` below the highest. For injection
    and requests for a secret, the highest counts, because an attacker can lengthen a text.
    """
    found = mean_odds(odds)
    found[HIGHEST] = odds.max(axis=0)[HIGHEST]
    return found


def mean_odds(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log of the mean odds of the rows, at most a factor `WEAKENED` below the highest."""
    highest = odds.max(axis=0)
    mean = highest + np.log(np.exp(odds - highest).mean(axis=0))
    found: NDArray[np.float64] = np.maximum(mean, highest - math.log(WEAKENED))
    return found


def _different(copies: Sequence[str]) -> list[str]:
    """Return the copies with different words; a copy that differs in spaces and signs only undoes no disguise."""
    kept: dict[tuple[str, ...], str] = {}
    for copy in copies:
        kept.setdefault(tuple(_WORD.findall(copy)), copy)
    return list(kept.values())


@cache
def _engine(model_dir: str, compute: Compute, weights: WeightFile) -> Engine:
    return Engine(model_dir, compute, weights)


def _version(revision: int, encoder_digest: str, suffix: str = "") -> str:
    return f"{revision}+{encoder_digest[:8]}.{LINEAR.digest[:8]}{suffix}"


class EncoderDetector(TextDetector[EncoderConfig]):
    """Base class of the detectors that use the shared encoder; ``name`` is the task of a subclass.

    If the encoder scores a text, the result is a weighted average of the log-odds of the linear model and the encoder.
    The average has fewer large errors than the encoder alone. ``blend`` is the weight of the linear model, whose log-odds count at most
    `MOST_LINEAR`.
    """

    config_type: ClassVar[type[msgspec.Struct]] = EncoderConfig
    #: First part of the version; increase it if scores change with the same weights.
    revision: ClassVar[int] = 2
    version: ClassVar[str]
    label: ClassVar[str]
    threshold: ClassVar[float]
    limits: ClassVar[tuple[float, float]]
    blend: ClassVar[float]
    #: Supported languages (ISO 639-1): recall on translated cases is at least half of the recall in English.
    languages: ClassVar[frozenset[str]] = frozenset({"en", "de", "fr", "es"})

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.version = _version(cls.revision, ENCODER.digest)

    def __init__(self, config: EncoderConfig | None = None) -> None:
        super().__init__(config)
        self._engine: Engine | None = None
        # The ignore: the version of one detector depends on its weights and numeric type, the version of the class does not.
        digest = self.config.file(ENCODER).digest
        self.version = _version(self.revision, digest, self.config.compute.suffix)  # type: ignore[misc]

    def load(self) -> None:
        """Load the linear model and the encoder, once per process; see `TextDetector.load`."""
        if self._engine is None:
            config = self.config
            self._engine = _engine(config.model_dir, config.compute, config.file(ENCODER))

    @property
    def engine(self) -> Engine:
        """The loaded models; raises NotLoadedError if ``load()`` was not called."""
        if self._engine is None:
            raise NotLoadedError(f"{self.name}.score_many before load(): call load() once in the process that scores")
        return self._engine

    def screen(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the linear model's log-odds of each text, and whether the encoder must score the text too.

        Raises NotLoadedError if ``load()`` was not called.
        """
        engine = self.engine
        if not texts:
            return np.zeros(0), np.zeros(0, dtype=bool)
        odds = engine.linear_log_odds(texts)[:, TASKS.index(self.name)]
        low, high = self.config.limits or self.limits
        probabilities = _probability(np.minimum(odds, MOST_LINEAR))
        return odds, (probabilities >= low) & (probabilities < high)

    def slow(self, texts: Sequence[str]) -> list[bool]:
        """Return whether the encoder must score each text; see `TextDetector.slow`."""
        return [bool(unsure) for unsure in self.screen(texts)[1]]

    def score_many(self, texts: Sequence[str]) -> list[Score]:
        """Score each text; see `TextDetector.score_many`. An empty text scores 0."""
        return self.scores(texts, *self.log_odds(texts))

    def log_odds(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the log-odds of each text before calibration, and the share of the text that was read.

        Raises NotLoadedError if ``load()`` was not called.
        """
        odds, unsure = self.screen(texts)
        task = TASKS.index(self.name)
        covered = np.ones(len(texts))
        escalated = [int(index) for index in np.flatnonzero(unsure)]
        for index, output in zip(
            escalated, self.engine.encode_many([texts[i] for i in escalated], self.config.max_windows), strict=True
        ):
            weight = self.blend_of(texts[index])
            odds[index] = weight * min(odds[index], MOST_LINEAR) + (1 - weight) * output.odds[task]
            covered[index] = output.covered
        return odds, covered

    def blend_of(self, text: str) -> float:
        """Return the weight of the linear model in the average for `text`."""
        del text  # a subclass reads it
        return self.blend

    def scores(self, texts: Sequence[str], odds: NDArray[np.float64], covered: NDArray[np.float64]) -> list[Score]:
        """Return the score of each text from its log-odds before calibration, and the share that was read."""
        slope, shift = self.engine.calibration[TASKS.index(self.name)]
        scores = _probability(slope * odds + shift)
        found = [
            self.score_of(float(score) if text.strip() else 0.0, float(share))
            for text, score, share in zip(texts, scores, covered, strict=True)
        ]
        clear = [row for row, score in enumerate(found) if score.label == OK]
        for row, language in zip(clear, self.engine.languages([texts[row] for row in clear]), strict=True):
            if language and language not in self.languages:
                found[row] = msgspec.structs.replace(found[row], label=UNSUPPORTED_LANGUAGE)
        return found

    def score_of(self, score: float, covered: float) -> Score:
        """Return the result for a score: flagged if the score reaches the threshold."""
        return Score.of(score, self.config.threshold or self.threshold, self.label, covered)


def _probability(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    probabilities: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-odds))
    return probabilities
