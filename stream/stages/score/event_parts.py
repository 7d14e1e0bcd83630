"""The texts of an event that each detector reads, and the event's score from the scores of these texts."""

from collections.abc import Sequence
from typing import Any

import msgspec

from detectors.base import OK, OPERATOR_ROLES, UNSUPPORTED_LANGUAGE, Reads, Score, TextDetector, Turn
from detectors.text.tools import MadeCall, ToolCall, repetitions
from stream.wire import DeclaredTool, Span

#: Maximum number of parts of an event that a detector reads one by one; the newest are kept. A part takes about .3 ms, and time for its characters.
MAX_FAST_PARTS = 1_024
#: Maximum number of tool calls of an event, and of these parts that a slow model scores; the newest are kept.
MAX_PARTS = 64
#: Maximum number of characters of these parts that a slow model scores, plus one part; the newest are kept.
MAX_SLOW_CHARACTERS = 32_768
#: A verdict stays below the broker's record limit.
MAX_SPANS = 2_000
#: Number of the last texts that `Reads.UNTRUSTED` also reads together, and maximum number of their characters.
_WINDOW_TEXTS, _WINDOW_CHARACTERS = 6, 4_000
#: Authors whose texts cannot attack the model: the operator, and the model itself.
_TRUSTED_ROLES = OPERATOR_ROLES | {"assistant"}
#: Maximum number of parts of a request that are compared with its system messages; the newest are kept.
MAX_RULED_PARTS = 8
#: Types of tools that the client runs, and whose declared name is that of the call.
_CLIENT_TOOLS = frozenset({"function", "custom"})
_TEXT, _CALL, _RESULT = "text", "tool_call", "tool_call_response"


class ItemPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an event: its JSON pointer, the role of its message, its kind (the part's ``type``) and its text.

    `name` is the name of a called tool; `id` is the id of the call, also in the result of the call.
    """

    pointer: str
    role: str
    kind: str
    text: str
    name: str = ""
    id: str = ""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an event, oldest first, and the detectors to score it; `side` is ``input`` or ``output``.

    For an answer, `context` is the end of the prompt, `instructions` are the operator's messages, and `tools` are the
    declared tools; the last two are empty if the record lacks them. `tools` is JSON, because an item is pickled, and
    pickle fails for a deep schema. `embed` contains the texts to embed, by part group.
    """

    parts: tuple[ItemPart, ...]
    detectors: tuple[str, ...]
    side: str = "input"
    context: tuple[Turn, ...] = ()
    instructions: tuple[Turn, ...] = ()
    tools: bytes | None = None
    embed: dict[str, str] = {}

    @property
    def text(self) -> str:
        """The text parts, joined by line breaks, like `text` of a record."""
        return "\n".join(part.text for part in self.parts if part.kind == _TEXT)

    @property
    def characters(self) -> int:
        """The number of characters of all texts, a measure of the time to score the item."""
        turns = (*self.context, *self.instructions)
        return (
            _characters(self.parts)
            + sum(len(turn.content) for turn in turns)
            + sum(map(len, self.embed.values()))
            + len(self.tools or b"")
        )

    def prompt_for(self, detector: TextDetector[Any]) -> tuple[Turn, ...]:
        """Return the messages that `detector` compares the answer with, oldest first."""
        if detector.reads_instructions:
            return (*self.instructions, *(turn for turn in self.context if turn.role not in OPERATOR_ROLES))
        return self.context if detector.prompt_characters else ()


class Reading(msgspec.Struct, frozen=True):
    """A text that a detector scores, and the pointer of its part; offsets into `derived` text do not fit that part.

    `context` is the request's system messages if the detector compares the text with them.
    """

    pointer: str
    text: str
    derived: bool = False
    context: tuple[Turn, ...] = ()


class EventScore(msgspec.Struct, frozen=True, kw_only=True):
    """One detector's score of an event, with the fields of a verdict; the defaults are for an event without text."""

    score: float = 0.0
    label: str = OK
    flagged: bool = False
    covered: float = 1.0
    part: str = ""
    spans: tuple[Span, ...] = ()


def readings(item: Item, detector: TextDetector[Any]) -> tuple[list[Reading], float]:
    """Return the texts of `item` that a detector reads, and their share of all texts that it would read without limits.

    The share counts characters; for tool calls, it counts calls.
    """
    reads = detector.reads
    if reads is Reads.JOINED or (reads is Reads.UNTRUSTED and item.side == "output"):
        return ([Reading("", item.text)] if item.text else []), 1.0
    if reads is Reads.CHOICES:
        return _choices(item.parts), 1.0
    if reads is Reads.CALLS:
        return _calls(item)
    untrusted = reads is Reads.UNTRUSTED
    parts = [
        part
        for part in (item.parts[_newest(item.parts)] if untrusted and not detector.reads_history else item.parts)
        if part.text and (not untrusted or _untrusted(part))
    ]
    kept = _affordable(parts[-MAX_FAST_PARTS:], detector)
    found = [Reading(part.pointer, part.text) for part in kept]
    if detector.reads_rules:
        system = _system(item.parts)
        newest = range(len(kept) - MAX_RULED_PARTS, len(kept))
        found = [
            Reading(one.pointer, one.text, context=system) if row in newest and part.kind != _RESULT else one
            for row, (one, part) in enumerate(zip(found, kept, strict=True))
        ]
    if untrusted and kept and (window := _window(item.parts, kept[-1])):
        found.append(window)
    return found, _characters(kept) / _characters(parts) if parts else 1.0


def _system(parts: Sequence[ItemPart]) -> tuple[Turn, ...]:
    return tuple(
        Turn(role=part.role, content=part.text) for part in parts if part.role in OPERATOR_ROLES and part.kind == _TEXT
    )


def newest_turn(own: Sequence[bool]) -> slice:
    """Return the rows of the parts after the model's last message; `own` is whether the model wrote each part.

    Each earlier part was read in the request in which it was new. If the last parts have the model's role, the client
    wrote them as the beginning of the answer; they are left out.
    """
    end = len(own)
    while end and own[end - 1]:
        end -= 1
    begin = max((row + 1 for row in range(end) if own[row]), default=0)
    return slice(begin, end)


def _newest(parts: Sequence[ItemPart]) -> slice:
    return newest_turn([part.role == "assistant" and not _untrusted(part) for part in parts])


def _window(parts: Sequence[ItemPart], newest: ItemPart) -> Reading | None:
    """Return the last untrusted texts as one text, so that an attack over several turns is found.

    Return None if there are fewer than two such texts, or if `newest` is as long as the limit of the joined text.
    """
    texts = [part.text for part in parts if part.text and _untrusted(part)]
    if len(texts) < 2 or len(newest.text) >= _WINDOW_CHARACTERS:
        return None
    return Reading(newest.pointer, "\n".join(texts[-_WINDOW_TEXTS:])[-_WINDOW_CHARACTERS:], derived=True)


def _choices(parts: Sequence[ItemPart]) -> list[Reading]:
    texts: dict[str, list[str]] = {}
    for part in parts:
        if part.kind == _TEXT and part.text:
            texts.setdefault(part.pointer.rpartition("/parts/")[0], []).append(part.text)
    choices = ["\n".join(of) for of in texts.values()]
    return [Reading("", msgspec.json.encode(choices).decode(), derived=True)] if choices else []


def _calls(item: Item) -> tuple[list[Reading], float]:
    """Return the newest tool calls of an item, and their share of all its calls."""
    calls = [part for part in item.parts if part.kind == _CALL]
    if not calls:
        return [], 1.0
    newest = calls[-MAX_PARTS:]
    if item.side == "output":
        tools = None if item.tools is None else msgspec.json.decode(item.tools, type=tuple[DeclaredTool, ...])
        made = [_declared(part, tools, len(newest)) for part in newest]
    else:
        times = repetitions(_history(item.parts)[-MAX_PARTS:])
        made = [
            ToolCall(name=part.name, arguments=part.text, times=count)
            for part, count in zip(newest, times, strict=True)
        ]
    return [Reading(part.pointer, call.text, derived=True) for part, call in zip(newest, made, strict=True)], len(
        newest
    ) / len(calls)


def _declared(part: ItemPart, tools: tuple[DeclaredTool, ...] | None, calls: int) -> ToolCall:
    """Return a call with the declaration of its tool; `calls` is the number of calls that are checked together.

    Tools that the provider runs may make calls of undeclared names.
    """
    tool = next((tool for tool in tools or () if tool.name == part.name), None)
    of_provider = any(tool.type not in _CLIENT_TOOLS for tool in tools or ())
    known = tool is None or tool.type != "function" or tool.parameters is not None
    declared = None if tools is None or not known else tool is not None or of_provider
    parameters = tool.parameters if tool is not None and (tool.type == "function" or tool.parameters) else None
    return ToolCall(name=part.name, arguments=part.text, declared=declared, parameters=parameters, calls=calls)


def _history(parts: Sequence[ItemPart]) -> list[MadeCall]:
    """Return all calls with their results; a result belongs to the last call with its id and without a result."""
    calls: list[MadeCall] = []
    waiting: dict[str, list[MadeCall]] = {}
    for part in parts:
        if part.kind == _CALL:
            calls.append(MadeCall(part.name, part.text))
            waiting.setdefault(part.id, []).append(calls[-1])
        elif part.kind == _RESULT and waiting.get(part.id):
            waiting[part.id].pop().result = part.text
    return calls


def _affordable(parts: Sequence[ItemPart], detector: TextDetector[Any]) -> Sequence[ItemPart]:
    """Return the parts; if too many or too long parts need a slow model, leave out the oldest of these."""
    count, left = MAX_PARTS, MAX_SLOW_CHARACTERS
    if len(parts) <= count and _characters(parts) <= left:
        return parts
    kept: list[ItemPart] = []
    for part, slow in reversed(list(zip(parts, detector.slow([part.text for part in parts]), strict=True))):
        if (count > 0 and left > 0) or not slow:
            kept.append(part)
        count -= slow
        left -= len(part.text) if slow else 0
    return kept[::-1]


def _untrusted(part: ItemPart) -> bool:
    return part.role not in _TRUSTED_ROLES or part.kind == _RESULT


def _characters(parts: Sequence[ItemPart]) -> int:
    return sum(len(part.text) for part in parts)


def combined(read: Sequence[Reading], scores: Sequence[Score], share: float) -> EventScore:
    """Return the event's score: the score of its worst text, with the spans of all flagged texts.

    `share` is the second result of `readings`. Of texts with equal scores, the newest is the worst. Without a finding, one text in an
    unsupported language decides the label.
    """
    if not read:
        return EventScore()
    found = list(zip(read, scores, strict=True))
    ranks = [(score.flagged, score.score, not one.derived, row) for row, (one, score) in enumerate(found)]
    worst, decisive = found[max(ranks)[-1]]
    others = [(one, score) for one, score in found if score.flagged and one is not worst]
    spans = [
        Span(
            start=s.start,
            end=s.end,
            type=s.type,
            score=s.score,
            part=s.part or ("" if one.pointer == worst.pointer else one.pointer),
        )
        for one, score in [(worst, decisive), *others]
        for s in score.spans[:MAX_SPANS]
        if s.part or not one.derived
    ]
    unsupported = decisive.label == OK and any(score.label == UNSUPPORTED_LANGUAGE for score in scores)
    return EventScore(
        score=decisive.score,
        label=UNSUPPORTED_LANGUAGE if unsupported else decisive.label,
        flagged=decisive.flagged,
        covered=min(share, *(score.covered for score in scores)),
        part=worst.pointer,
        spans=tuple(spans[:MAX_SPANS]),
    )
