"""Shorten a record that is too large for Kafka, so that its request or end is still recorded and scored."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TypeVar

import msgspec

from stream.wire import (
    Choice,
    Message,
    Part,
    ReasoningPart,
    RequestRecord,
    ResponseRecord,
    TextPart,
    ToolCallPart,
    ToolDefinition,
    ToolResponsePart,
)

RecordT = TypeVar("RecordT", RequestRecord, ResponseRecord)
MessageT = TypeVar("MessageT", Message, Choice)

_ENCODER = msgspec.json.Encoder()
#: The field with the text of a part; the other parts have no text.
_TEXT_FIELDS: dict[type[Part], str] = {
    TextPart: "content",
    ReasoningPart: "content",
    ToolCallPart: "arguments",
    ToolResponsePart: "response",
}
#: A share with the most digits, the JSON of empty lists, and that of an empty list of parts with the comma of its message.
_LONGEST_SHARE = 0.12345678901234567
_LISTS_BYTES = len(b'"messages":[],"tools":[],')
_PARTS_BYTES = len(b',"parts":[],')


def shortened(record: RecordT, max_bytes: int) -> RecordT:
    """Return `record` with as much of its text as fits into `max_bytes` of JSON.

    `recorded` is the share of the text's characters that is kept. Of a request, the newest messages are kept. Of an answer, the first choices are
    kept, but neither context nor instructions. A text that does not fit as a whole loses its end. The tools of a request are kept as far as they fit.
    """
    if isinstance(record, RequestRecord):
        bare = msgspec.structs.replace(record, messages=(), tools=(), recorded=_LONGEST_SHARE)
        newest, left = _kept(record.messages[::-1], max_bytes - _size(bare) - _LISTS_BYTES)
        tools = _first(record.tools, left)
        share = _share(newest, record.messages)
        return msgspec.structs.replace(bare, messages=newest[::-1], tools=tools, recorded=share)
    bare = msgspec.structs.replace(record, messages=(), context=(), instructions=(), recorded=_LONGEST_SHARE)
    choices, _ = _kept(record.messages, max_bytes - _size(bare) - _LISTS_BYTES)
    return msgspec.structs.replace(bare, messages=choices, recorded=_share(choices, record.messages))


def _kept(messages: Sequence[MessageT], left: int) -> tuple[tuple[MessageT, ...], int]:
    """Return the first messages that fit into `left` bytes, the last of them shortened, and the bytes that remain."""
    kept: list[MessageT] = []
    for message in messages:
        left -= _size(msgspec.structs.replace(message, parts=())) + _PARTS_BYTES
        if left < 0:
            break
        parts: list[Part] = []
        for part in message.parts:
            fitting = part if _size(part) < left else _cut(part, left)
            if fitting is not None:
                parts.append(fitting)
                left -= _size(fitting) + 1
            if fitting is not part:
                left = 0
                break
        kept.append(msgspec.structs.replace(message, parts=tuple(parts)))
    return tuple(kept), left


def _first(tools: Sequence[ToolDefinition], left: int) -> tuple[ToolDefinition, ...]:
    """Return the first tools that fit into `left` bytes."""
    sizes = accumulate(_size(tool) + 1 for tool in tools)
    return tuple(tool for tool, size in zip(tools, sizes, strict=True) if size <= left)


def _cut(part: Part, left: int) -> Part | None:
    """Return `part` with the longest beginning of its text that fits into `left` bytes, or None if no text fits."""
    field = _TEXT_FIELDS.get(type(part))
    if field is None:
        return None
    room = left - _size(msgspec.structs.replace(part, **{field: "x"}))
    text = part.text[: max(room, 0)]  # a character has at least one byte
    characters = bisect_right(range(1, len(text) + 1), room, key=lambda count: _size(text[:count]) - 2)
    return msgspec.structs.replace(part, **{field: text[:characters]}) if characters else None


def _share(kept: Sequence[Message | Choice], messages: Sequence[Message | Choice]) -> float:
    return _characters(kept) / max(1, _characters(messages))


def _characters(messages: Iterable[Message | Choice]) -> int:
    return sum(len(part.text) for message in messages for part in message.parts)


def _size(value: object) -> int:
    return len(_ENCODER.encode(value))
