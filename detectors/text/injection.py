"""Injection detector: attempts to override the model's instructions or to make it ignore its rules.

A request for a secret of the system prompt can be an attack although its words are harmless. If the system messages of
its request mention a secret, the text is also scored as a request for a secret (`detectors.text.system_rules`); the
higher score counts.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.base import AlertText, Reads, Score, Turn
from detectors.models.term_model import load_secrets
from detectors.text.shared_encoder import SECRET, EncoderConfig, EncoderDetector
from detectors.text.system_rules import conflict_log_odds, conflict_readings, guards_secret

__all__ = ["InjectionConfig", "InjectionDetector"]


class InjectionConfig(EncoderConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the injection detector.

    Attributes
    ----------
    whole_history
        Whether the detector reads every text of a request by itself, also those before the model's last message, which a client can
        invent. Each request of a conversation then has the false positives of all its turns.
    """

    whole_history: bool = False


class InjectionDetector(EncoderDetector):
    """Detector of attempts to override instructions or to make the model ignore its rules; also finds them inside other text."""

    name: ClassVar[str] = "injection"
    config_type: ClassVar[type[msgspec.Struct]] = InjectionConfig
    revision: ClassVar[int] = 9
    alert: ClassVar[AlertText] = AlertText(
        subject="prompt injection",
        runbook="Open a request with `weir show ID --text` and check what the answer disclosed; then make the system "
        "prompt stricter, or give the model fewer tools.",
    )
    explains: ClassVar[bool] = True
    reads: ClassVar[Reads] = Reads.UNTRUSTED
    label: ClassVar[str] = "injection"
    threshold: ClassVar[float] = 0.82
    limits: ClassVar[tuple[float, float]] = (0.06, 0.995)
    blend: ClassVar[float] = 0.1
    languages: ClassVar[frozenset[str]] = frozenset({"en", "de", "fr", "es"})
    reads_rules: ClassVar[bool] = True

    @property
    def reads_history(self) -> bool:
        """Whether it reads each text before the model's last message by itself, too."""
        return isinstance(self.config, InjectionConfig) and self.config.whole_history

    def load(self) -> None:
        """Load the models; see `TextDetector.load`."""
        super().load()
        load_secrets()

    def score_answers(self, texts: Sequence[str], prompts: Sequence[Sequence[Turn]]) -> list[Score]:
        """Score each text in view of the system messages among its ``prompts``; other turns are ignored."""
        odds, covered = self.log_odds(texts)
        found = self.scores(texts, odds, covered)
        rows = [row for row, prompt in enumerate(prompts) if texts[row].strip() and guards_secret(prompt)]
        if not rows:
            return found
        readings = self.conflict_readings([texts[row] for row in rows], odds[rows])
        for row, reading in zip(rows, readings, strict=True):
            score = 1.0 / (1.0 + math.exp(-conflict_log_odds(reading, self.engine.conflict)))
            if score > found[row].score:
                seen = self.score_of(score, found[row].covered)
                found[row] = seen if seen.flagged else msgspec.structs.replace(found[row], score=score)
        return found

    def conflict_readings(self, texts: Sequence[str], own: NDArray[np.float64]) -> list[tuple[float, float]]:
        """Return the readings of `detectors.text.system_rules` of each text, with its log-odds ``own`` as an attack."""
        asks = self.engine.encode_many(texts, self.config.max_windows)
        return [conflict_readings(float(odds), output.odds[SECRET]) for odds, output in zip(own, asks, strict=True)]
