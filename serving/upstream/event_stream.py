"""Parse server-sent events from bytes that arrive in pieces of any size, with limited memory.

Specification: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLarge(Exception):
    """A line or the data of an event has more bytes than the limit."""


class ServerSentEvent(NamedTuple):
    """An event; `data` is its data lines, joined by line breaks, and `name` is its type or ""."""

    name: str
    data: bytes


class EventParser:
    """Parses one stream; a line and an event's data have at most `max_bytes` each.

    Comments, unknown fields and events without data are skipped.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._partial = bytearray()
        self._after_return = False
        self._at_start = True
        self._data: list[bytes] = []
        self._size = 0
        self._name = ""

    def feed(self, piece: bytes) -> Iterator[ServerSentEvent]:
        """Yield the events that end in `piece`, the next bytes; raises EventTooLarge."""
        if not piece:
            return
        if self._after_return and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_return = False
            if not piece:
                return
        self._after_return = piece.endswith(b"\r")
        first, *others = _LINE_END.split(piece)
        self._partial += first
        self._check(len(self._partial))
        if not others:
            return
        line, self._partial = bytes(self._partial), bytearray()
        *lines, last = others
        for whole in (line, *lines):
            self._check(len(whole))
            if (event := self._take(whole)) is not None:
                yield event
        self._partial += last
        self._check(len(last))

    def finish(self) -> Iterator[ServerSentEvent]:
        """Yield the last event if the stream ended without the empty line that ends an event."""
        for line in (bytes(self._partial), b""):
            if (event := self._take(line)) is not None:
                yield event
        self._partial.clear()

    def _take(self, line: bytes) -> ServerSentEvent | None:
        if self._at_start:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._at_start = False
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._size += len(value) + 1
            self._check(self._size - 1)
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        event = ServerSentEvent(self._name, b"\n".join(self._data))
        self._data, self._size, self._name = [], 0, ""
        return event if event.data else None

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise EventTooLarge
