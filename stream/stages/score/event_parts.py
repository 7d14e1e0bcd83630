"""The texts of an event that each detector reads, and the event's score from the scores of these texts."""

from collections.abc import Sequence
from typing import Any

import msgspec

from detectors.base import OK, Reads, Score, TextDetector, Turn
from stream.wire import Span

__all__ = [
    "MAX_PARTS",
    "MAX_SLOW_CHARACTERS",
    "MAX_SPANS",
    "EventScore",
    "Item",
    "ItemPart",
    "Reading",
    "combined",
    "readings",
]

#: Most parts of an event that a detector reads one by one; the newest are kept.
MAX_PARTS = 64
#: Most characters of these parts that a slow model scores, plus one part; the newest are kept.
MAX_SLOW_CHARACTERS = 32_768
#: A verdict stays below the broker's record limit.
MAX_SPANS = 2_000
#: The last texts that `Reads.UNTRUSTED` also reads together, and the most characters of these texts.
_WINDOW_TEXTS, _WINDOW_CHARACTERS = 6, 4_000
#: Authors whose texts cannot attack the model: the operator, and the model itself.
_TRUSTED_ROLES = frozenset({"system", "developer", "assistant"})


class ItemPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an event: its JSON pointer, the role of its message, its kind (the part's ``type``) and its text."""

    pointer: str
    role: str
    kind: str
    text: str


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an event, oldest first, and the detectors to score it; `side` is ``input`` or ``output``.

    For an answer, `context` is the prompt, if the record has one.
    """

    parts: tuple[ItemPart, ...]
    detectors: tuple[str, ...]
    side: str = "input"
    context: tuple[Turn, ...] = ()
    embed: bool = False

    @property
    def text(self) -> str:
        """The text parts, joined by line breaks, as `text` of the record."""
        return "\n".join(part.text for part in self.parts if part.kind == "text")


class Reading(msgspec.Struct, frozen=True):
    """A text that a detector scores, with the pointer of its part; offsets in a `window` are not offsets in that part."""

    pointer: str
    text: str
    window: bool = False


class EventScore(msgspec.Struct, frozen=True, kw_only=True):
    """The score of an event by one detector, with the fields of a verdict; the defaults are those of an event without a text."""

    score: float = 0.0
    label: str = OK
    flagged: bool = False
    covered: float = 1.0
    part: str = ""
    spans: tuple[Span, ...] = ()


def readings(item: Item, detector: TextDetector[Any]) -> tuple[list[Reading], float]:
    """Return the texts of `item` that a detector reads, and the share of characters of all such texts that these have."""
    reads = detector.reads
    if reads is Reads.JOINED or (reads is Reads.UNTRUSTED and item.side == "output"):
        return ([Reading("", item.text)] if item.text else []), 1.0
    parts = [part for part in item.parts if part.text and (reads is Reads.PARTS or _untrusted(part))]
    kept = _affordable(parts[-MAX_PARTS:], detector)
    found = [Reading(part.pointer, part.text) for part in kept]
    # A newest text that fills the window is read by itself.
    if reads is Reads.UNTRUSTED and len(kept) > 1 and len(kept[-1].text) < _WINDOW_CHARACTERS:
        joined = "\n".join(part.text for part in kept[-_WINDOW_TEXTS:])
        found.append(Reading(kept[-1].pointer, joined[-_WINDOW_CHARACTERS:], window=True))
    return found, _characters(kept) / _characters(parts) if parts else 1.0


def _affordable(parts: Sequence[ItemPart], detector: TextDetector[Any]) -> Sequence[ItemPart]:
    """Leave out the oldest of the parts that need a slow model, if they are too long together."""
    left = MAX_SLOW_CHARACTERS
    if _characters(parts) <= left:
        return parts
    kept: list[ItemPart] = []
    for part, slow in reversed(list(zip(parts, detector.slow([part.text for part in parts]), strict=True))):
        if left > 0 or not slow:
            kept.append(part)
        left -= len(part.text) if slow else 0
    return kept[::-1]


def _untrusted(part: ItemPart) -> bool:
    return part.role not in _TRUSTED_ROLES or part.kind == "tool_call_response"


def _characters(parts: Sequence[ItemPart]) -> int:
    return sum(len(part.text) for part in parts)


def combined(read: Sequence[Reading], scores: Sequence[Score], share: float) -> EventScore:
    """Return the event's score: that of its worst text, with the spans of all flagged texts.

    `share` is the second result of `readings`. Of texts with equal scores, the newest is the worst.
    """
    if not read:
        return EventScore()
    found = list(zip(read, scores, strict=True))
    ranks = [(score.flagged, score.score, not one.window, row) for row, (one, score) in enumerate(found)]
    worst, decisive = found[max(ranks)[-1]]
    others = [(one, score) for one, score in found if score.flagged and one is not worst]
    spans = [
        Span(
            start=s.start,
            end=s.end,
            type=s.type,
            score=s.score,
            part="" if one.pointer == worst.pointer else one.pointer,
        )
        for one, score in [(worst, decisive), *others]
        for s in (() if one.window else score.spans[:MAX_SPANS])
    ]
    return EventScore(
        score=decisive.score,
        label=decisive.label,
        flagged=decisive.flagged,
        covered=min(share, *(score.covered for score in scores)),
        part=worst.pointer,
        spans=tuple(spans[:MAX_SPANS]),
    )
