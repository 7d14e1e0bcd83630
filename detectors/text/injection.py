"""Injection detector: attempts to override the model's instructions or to make it ignore its rules.

Some requests are attacks only in view of the system prompt, such as a question about what it keeps secret. With the
system messages of its request, a text is also read in a pair with their rules (`detectors.text.system_rules`); with a
turn of the role ``tool``, as data that must not give orders. The higher of both log-odds counts.
"""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from detectors.base import AlertText, Reads, Score, Turn
from detectors.text.shared_encoder import CONFLICT, EncoderConfig, EncoderDetector
from detectors.text.system_rules import context_of

__all__ = ["InjectionConfig", "InjectionDetector"]

#: Most windows of a text that are compared with its context; of a longer text, this many evenly spaced windows.
CONFLICT_WINDOWS = 16


class InjectionConfig(EncoderConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the injection detector.

    Attributes
    ----------
    whole_history
        Whether the detector reads every text of a request by itself, also those before the model's last message, which a client can
        invent. Each request of a conversation then has the wrong findings of all its turns.
    """

    whole_history: bool = False


class InjectionDetector(EncoderDetector):
    """Detector of attempts to override instructions or to make the model ignore its rules; also finds them inside other text."""

    name: ClassVar[str] = "injection"
    config_type: ClassVar[type[msgspec.Struct]] = InjectionConfig
    revision: ClassVar[int] = 4
    alert: ClassVar[AlertText] = AlertText(
        subject="prompt injection",
        runbook="Open a request with `weir show ID --text` and check what the answer disclosed; then make the system "
        "prompt stricter, or give the model fewer tools.",
    )
    explains: ClassVar[bool] = True
    reads: ClassVar[Reads] = Reads.UNTRUSTED
    label: ClassVar[str] = "injection"
    threshold: ClassVar[float] = 0.8
    limits: ClassVar[tuple[float, float]] = (0.03, 0.97)
    blend: ClassVar[float] = 0.3
    reads_rules: ClassVar[bool] = True
    #: Added to the log-odds of a conflict, so that both log-odds have the same threshold.
    conflict_shift: ClassVar[float] = 0.0

    @property
    def reads_history(self) -> bool:
        """Whether it reads each text before the model's last message by itself, too."""
        return isinstance(self.config, InjectionConfig) and self.config.whole_history

    def score_answers(self, texts: Sequence[str], prompts: Sequence[Sequence[Turn]]) -> list[Score]:
        """Score each text of a request with its system messages, or with a turn of the role ``tool`` for a tool's result."""
        odds, covered = self.log_odds(texts)
        assert self._engine is not None  # `log_odds` raises if it is None
        contexts = [context_of(prompt) for prompt in prompts]
        rows = [row for row, context in enumerate(contexts) if context and texts[row].strip()]
        if not self._engine.finds_conflicts:
            rows = []
        found = self._engine.encode_many(
            [texts[row] for row in rows], CONFLICT_WINDOWS, [contexts[row] for row in rows]
        )
        for row, output in zip(rows, found, strict=True):
            odds[row] = max(odds[row], output.odds[CONFLICT] + self.conflict_shift)
        return self._scores(texts, odds, covered)
