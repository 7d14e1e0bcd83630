"""Leak detector (experimental): an answer that contains a secret or words of the system prompt, unchanged or disguised.

The detector compares the answer, and copies of it in which encodings are undone, with the sentences and secrets of the system prompt
(`detectors.text.system_prompt`, `detectors.text.leak_evidence`). Text of an earlier user message or tool result is not a leak.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from detectors.base import OK, OPERATOR_ROLES, AlertText, AnswerDetector, Score, Span, Turn
from detectors.normalise.unicode import normalise
from detectors.text.leak_evidence import Evidence, Prior, evidence
from detectors.text.system_prompt import read_system_prompt


class LeakConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the leak detector.

    Attributes
    ----------
    threshold
        Answers with this score or a higher one are flagged.
    max_characters
        Maximum number of characters that are read from an answer; unread characters lower ``covered``.
    """

    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.5
    max_characters: Annotated[int, Meta(ge=1_000, le=200_000)] = 32_768


class LeakDetector(AnswerDetector[LeakConfig]):
    """Detector of revealed instructions and secrets; no model, time linear in the lengths.

    The type of a span is ``SECRET`` or ``INSTRUCTIONS``.
    """

    name: ClassVar[str] = "leak"
    version: ClassVar[str] = "3"
    config_type: ClassVar[type[msgspec.Struct]] = LeakConfig
    sides: ClassVar[tuple[str, ...]] = ("output",)
    reads_instructions: ClassVar[bool] = True
    prompt_characters = 8_000
    alert: ClassVar[AlertText] = AlertText(
        subject="leaks of the system prompt",
        runbook="Open a request with `weir show ID --text`; replace a secret that was revealed, and keep secrets out of the system prompt.",
    )

    def load(self) -> None:
        """Compile the patterns; see `TextDetector.load`."""
        list(evidence("x", read_system_prompt("x"), Prior("x")))
        super().load()

    def _score(self, text: str, turns: Sequence[Turn]) -> Score:
        operator = "\n\n".join(turn.content for turn in turns if turn.role in OPERATOR_ROLES)
        if not operator.strip():
            return Score(score=0.0, label="unknown", flagged=False)
        read = text[: self.config.max_characters]
        prior = Prior("\n".join(t.content for t in turns if t.role not in OPERATOR_ROLES and t.role != "assistant"))
        copy = normalise(read)
        found = list(evidence(copy.text if copy else read, read_system_prompt(operator), prior))
        # A score is half of the strength.
        worst = max(found, key=lambda one: one.strength, default=Evidence(OK, 0.0))
        strong = [one for one in found if one.end and one.strength / 2 >= self.config.threshold]
        places = [copy.raw_span(one.start, one.end) if copy else (one.start, one.end) for one in strong]
        spans = [
            Span(start=start, end=end, type=one.label.upper(), score=one.strength / 2)
            for one, (start, end) in zip(strong, places, strict=True)
        ]
        return Score.of(worst.strength / 2, self.config.threshold, worst.label, len(read) / len(text), spans)
