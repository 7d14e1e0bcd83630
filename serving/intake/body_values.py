"""Limit the number of values in a body before it is decoded: an empty object or message needs up to 90 times its size in memory."""

import re
from collections.abc import Sized
from contextlib import suppress
from functools import cache
from itertools import islice

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from serving.errors import UnreadablePayload

#: A body with more fields (Protobuf), or with more texts, objects and lists (JSON), is not decoded.
MAX_VALUES = 1_000_000
#: A body with more items is not processed: no other body is processed meanwhile. LiteLLM sends up to 512 logs in one body.
MAX_BODY_ITEMS = 10_000
#: Smaller bodies are not checked: decoded, they need at most 100 MB.
_CHECKED_BYTES = 1024 * 1024
#: Protobuf's own limit of nested messages.
_MAX_DEPTH = 100
#: A JSON text or the begin of an object or list. A text without an end is the rest of the body, which makes the search linear.
_VALUE = re.compile(rb'[{\[]|"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_VARINT, _FIXED_64, _LENGTH, _FIXED_32 = 0, 1, 2, 5
#: The bits before the last byte of a number of 64 bits, of which each byte has 7.
_MAX_VARINT_BITS = 63
#: The types of the fields that are messages, and None for those that are texts, by field number.
_Fields = dict[int, Descriptor | None]


def check_json(raw: bytes) -> None:
    """Raise UnreadablePayload if `raw` has too many texts, objects and lists; numbers need little memory. `raw` need not be valid JSON."""
    if len(raw) <= _CHECKED_BYTES:
        return
    if next(islice(_VALUE.finditer(raw), MAX_VALUES, None), None) is not None:
        raise UnreadablePayload(
            f"{len(raw)} bytes have more than {MAX_VALUES} texts, objects and lists, the limit; send smaller batches"
        )


def check_items(items: Sized) -> None:
    """Raise UnreadablePayload if a body has too many `items`."""
    if len(items) > MAX_BODY_ITEMS:
        raise UnreadablePayload(f"it has {len(items)} items, the limit is {MAX_BODY_ITEMS}; send smaller batches")


def check_protobuf(raw: bytes, descriptor: Descriptor) -> None:
    """Raise UnreadablePayload if `raw`, a message of the type `descriptor`, has too many fields or is malformed."""
    if len(raw) <= _CHECKED_BYTES:
        return
    malformed = UnreadablePayload(f"{len(raw)} bytes are not OTLP; send {descriptor.name}")
    try:
        within_limit = _has_few_fields(raw, descriptor)
    except (IndexError, ValueError):
        raise malformed from None
    if not within_limit:
        raise UnreadablePayload(
            f"{len(raw)} bytes have more than {MAX_VALUES} fields, the limit; export smaller batches"
        )


def repaired_protobuf(raw: bytes, descriptor: Descriptor) -> bytes:
    """Return `raw` with ``?`` for each byte of a text that is no UTF-8: exporters cut texts within a character."""
    repaired = bytearray(raw)
    with suppress(IndexError, ValueError):  # malformed: the parser rejects it
        _has_few_fields(raw, descriptor, repaired)
    return bytes(repaired)


def _has_few_fields(raw: bytes, descriptor: Descriptor, repaired: bytearray | None = None) -> bool:
    """Walk over the fields of all messages; raises IndexError or ValueError if `raw` is malformed.

    In `repaired`, a copy of `raw`, the bytes of texts that are no UTF-8 are replaced.

    Encoding: https://protobuf.dev/programming-guides/encoding/
    """
    position, end, fields = 0, len(raw), _fields(descriptor)
    outer: list[tuple[int, _Fields]] = []
    for _ in range(MAX_VALUES):
        while position == end:
            if not outer:
                return True
            end, fields = outer.pop()
        tag, position = _varint(raw, position)
        kind = tag & 7
        if kind == _LENGTH:
            size, position = _varint(raw, position)
            if (inner := fields.get(tag >> 3)) is not None:
                outer.append((end, fields))
                fields, end, size = _fields(inner), position + size, 0
            elif repaired is not None and tag >> 3 in fields:
                text = raw[position : position + size]
                repaired[position : position + size] = text.decode("utf-8", "surrogateescape").encode(
                    "utf-8", "replace"
                )
        elif kind == _VARINT:
            size, (_, position) = 0, _varint(raw, position)
        else:
            size = {_FIXED_64: 8, _FIXED_32: 4}.get(kind, len(raw))
        position += size
        if position > end or (outer and end > outer[-1][0]) or len(outer) > _MAX_DEPTH:
            raise ValueError("a field is longer than its message, or messages are nested too deep")
    return False


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    """Return the number at `position`, and the position after it; raises IndexError or ValueError."""
    value = shift = 0
    while (byte := raw[position]) & 0x80:
        value |= (byte & 0x7F) << shift
        shift += 7
        position += 1
        if shift > _MAX_VARINT_BITS:  # to shift a number of any length takes quadratic time
            raise ValueError("a number has more than 10 bytes")
    return value | byte << shift, position + 1


@cache
def _fields(descriptor: Descriptor) -> _Fields:
    return {
        field.number: field.message_type
        for field in descriptor.fields
        if field.message_type is not None or field.type == FieldDescriptor.TYPE_STRING
    }
