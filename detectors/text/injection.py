"""Injection detector: attempts to override the model's instructions or to make it ignore its rules.

A request for a secret of the system prompt can be an attack although its words are harmless. If the system messages of
its request mention a secret, the text is also scored as a request for a secret (`detectors.text.system_rules`); the
higher score counts.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.base import AlertText, Reads, Score, Turn
from detectors.models.term_model import load_secrets
from detectors.models.weight_files import SECOND_STAGE
from detectors.normalise.disguise import plain_views
from detectors.text.shared_encoder import SECRET, TASKS, EncoderConfig, EncoderDetector
from detectors.text.system_rules import bounded, conflict_log_odds, guards_secret, system_prompt

if TYPE_CHECKING:
    from detectors.models.second_stage import TextReader

#: Of the texts that the encoder reads, the second stage reads those with at least these log-odds (before calibration).
DOUBTFUL = 0.5
#: It reads a text beside a system prompt with a secret if the encoder's log-odds that the text asks for the secret are at least these.
ASKING = -1.0
#: It reads this number of passages of a text: those with the highest log-odds by the encoder.
PASSAGES = 2
#: The longer a harmless text, the higher is the highest of its passages. So the odds of a text of more than `SHORT` characters are divided by
#: (characters / SHORT) ** GROWTH, but at most by `LARGEST_DIVISOR`, because an attacker can lengthen a text.
SHORT, GROWTH, LARGEST_DIVISOR = 400, 0.3, 2.0


class InjectionConfig(EncoderConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the injection detector.

    Attributes
    ----------
    whole_history
        Whether the detector reads every text of a request by itself, also those before the model's last message, which a client can
        invent. Each request of a conversation then has the false positives of all its turns.
    second_stage
        Whether a larger model (SmolLM2-135M, on the CPU) also reads each text that the encoder finds doubtful. Without it, `injection`
        needs less memory and finds fewer attacks (docs/detectors.md). Own `weights` have no second stage.
    """

    whole_history: bool = False
    second_stage: bool = True


class InjectionDetector(EncoderDetector):
    """Detector of attempts to override instructions or to make the model ignore its rules; also finds them inside other text."""

    config: InjectionConfig
    name: ClassVar[str] = "injection"
    config_type: ClassVar[type[msgspec.Struct]] = InjectionConfig
    revision: ClassVar[int] = 16
    alert: ClassVar[AlertText] = AlertText(
        subject="prompt injection",
        runbook="Open a request with `weir show ID --text` and check what the answer disclosed; then make the system "
        "prompt stricter, or give the model fewer tools.",
    )
    explains: ClassVar[bool] = True
    reads: ClassVar[Reads] = Reads.UNTRUSTED
    label: ClassVar[str] = "injection"
    threshold: ClassVar[float] = 0.82
    # The linear model never decides alone that a text is an attack: it is certain of hex dumps and tables of decimals.
    limits: ClassVar[tuple[float, float]] = (0.06, 1.0)
    blend: ClassVar[float] = 0.1
    reads_rules: ClassVar[bool] = True

    def __init__(self, config: InjectionConfig | None = None) -> None:
        super().__init__(config)
        #: The second stage, if the options have it, after `load`.
        self.second: TextReader | None = None
        if self._has_second_stage:
            self.version = f"{self.version}.{SECOND_STAGE.digest[:8]}"  # type: ignore[misc] # as in EncoderDetector

    @property
    def _has_second_stage(self) -> bool:
        return self.config.second_stage and not self.config.weights

    @property
    def reads_history(self) -> bool:
        """Whether it reads each text before the model's last message by itself, too."""
        return self.config.whole_history

    def load(self) -> None:
        """Load the models; see `TextDetector.load`."""
        super().load()
        load_secrets()
        if self._has_second_stage and self.second is None:
            self.second = _load_second_stage(self.config.threads)

    def log_odds(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the log-odds of each text before calibration, and the share of the text that was read; see `EncoderDetector.log_odds`."""
        odds, covered = super().log_odds(texts)
        doubtful = np.flatnonzero(self.screen(texts)[1] & (odds >= DOUBTFUL)).tolist()
        if self.second is not None and doubtful:
            own, unread = self.read_again([texts[row] for row in doubtful])
            combined = np.where(np.isnan(own), odds[doubtful], self.second.combine(odds[doubtful], own))
            odds[doubtful] = np.maximum(combined, unread)
        return odds, covered

    def scores(self, texts: Sequence[str], odds: NDArray[np.float64], covered: NDArray[np.float64]) -> list[Score]:
        """Return the score of each text; the odds of long texts are divided (`SHORT`)."""
        slope, _ = self.engine.calibration[TASKS.index(self.name)]
        length = np.array([len(text) for text in texts]) / SHORT
        divisor = np.minimum(LARGEST_DIVISOR, np.maximum(1.0, length) ** GROWTH)
        return super().scores(texts, odds - np.log(divisor) / slope, covered)

    def read_again(
        self, texts: Sequence[str], systems: Sequence[str] = ()
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Read texts with the second stage; of each text, the `PASSAGES` passages for which the encoder's log-odds are highest.

        Return the second stage's log-odds of each text, (n): those of its highest passage, NaN if it reads none; and the encoder's log-odds
        of its highest unread passage, (n), or -inf. The log-odds are those of an attack; with ``systems``, the system prompts of the
        texts, those of a request for their secret.
        """
        assert self.second is not None
        output, asked = (SECRET, 1) if systems else (TASKS.index(self.name), 0)
        parts = [self._passages(text, output) for text in texts]
        read = [[passage for passage, _ in part[:PASSAGES]] for part in parts]
        beside = [system for part, system in zip(read, systems, strict=True) for _ in part] if systems else ()
        odds = iter(self.second.log_odds([passage for part in read for passage in part], beside)[:, asked].tolist())
        own = [max((next(odds) for _ in part), default=math.nan) for part in read]
        unread = [max((odds for _, odds in part[PASSAGES:]), default=-math.inf) for part in parts]
        return np.array(own), np.array(unread)

    def _passages(self, text: str, output: int) -> list[tuple[str, float]]:
        """Return the passages of a text's plain views with the encoder's log-odds of ``output``, the highest first; 0 if all are read.

        Return none if a view is too long for the second stage: other passages must not decide about a view that it does not read.
        """
        assert self.second is not None
        views = [view for view in plain_views(text) if view.strip()]
        read = [self.second.passages(view) for view in views]
        if not all(read):
            return []
        parts = [part for passages in read for part in passages]
        if len(parts) <= PASSAGES:
            return [(part, 0.0) for part in parts]
        odds = [found.odds[output] for found in self.engine.encode_many(parts, self.config.max_windows)]
        return sorted(zip(parts, odds, strict=True), key=lambda one: -one[1])

    def score_answers(self, texts: Sequence[str], prompts: Sequence[Sequence[Turn]]) -> list[Score]:
        """Score each text in view of the system messages among its ``prompts``; other turns are ignored."""
        odds, covered = self.log_odds(texts)
        found = self.scores(texts, odds, covered)
        rows = [row for row, prompt in enumerate(prompts) if texts[row].strip() and guards_secret(prompt)]
        if not rows:
            return found
        systems = [system_prompt(prompts[row]) for row in rows]
        readings = self.conflict_readings([texts[row] for row in rows], odds[rows], systems)
        for row, reading in zip(rows, readings, strict=True):
            score = 1.0 / (1.0 + math.exp(-self._conflict(reading)))
            if score > found[row].score:
                seen = self.score_of(score, found[row].covered)
                found[row] = seen if seen.flagged else msgspec.structs.replace(found[row], score=score)
        return found

    def conflict_readings(
        self, texts: Sequence[str], own: NDArray[np.float64], systems: Sequence[str]
    ) -> list[tuple[float, ...]]:
        """Return the readings of `detectors.text.system_rules` of each text beside its system prompt, with its log-odds ``own`` as an attack.

        They are two, or three where the second stage has read the text.
        """
        asks = self.engine.encode_many(texts, self.config.max_windows)
        found = [bounded(float(odds), output.odds[SECRET]) for odds, output in zip(own, asks, strict=True)]
        doubtful = [row for row, readings in enumerate(found) if self._conflict(readings) >= ASKING]
        if self.second is not None and doubtful:
            odds, _ = self.read_again([texts[row] for row in doubtful], [systems[row] for row in doubtful])
            for row, secret in zip(doubtful, odds.tolist(), strict=True):
                found[row] += bounded(secret) if not math.isnan(secret) else ()
        return found

    def _conflict(self, readings: Sequence[float]) -> float:
        """Return the log-odds that a text asks for a secret: by the encoder's two readings, or by all three if these are higher."""
        found = conflict_log_odds(readings[:2], self.engine.conflict)
        if self.second is None or len(readings) == 2:
            return found
        return max(found, conflict_log_odds(readings, self.second.conflict))


@cache
def _load_second_stage(threads: int) -> "TextReader":
    from detectors.models.second_stage import load_text_reader  # noqa: PLC0415 - torch takes seconds to import

    return load_text_reader(threads=threads)
