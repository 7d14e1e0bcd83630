"""The headers whose values ``weir dlq show`` prints without ``--text``, and the form in which it prints bytes.

To print the value of another header too, add the header's name here.
"""

from collections.abc import Sequence

import msgspec

from stream.contract.attributes import EVENT_HEADERS
from stream.dead_letters import HEADER_PREFIX

#: Weir or a tracer writes these; the values of all other headers are content, also of attributes that another producer's CloudEvents have.
NAMES = frozenset({*EVENT_HEADERS["properties"], "traceparent", "tracestate"})


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """A header; `value` is None if it may be content and content was not requested."""

    name: str
    value: str | None
    size_bytes: int


def shown_headers(headers: Sequence[tuple[str, bytes]], *, content: bool) -> list[Header]:
    """Return `headers` in order. If `content` is false, a header that Weir does not write has no value."""
    return [
        Header(
            name=escaped(name.encode()),
            value=escaped(value or b"") if content or name.startswith(HEADER_PREFIX) or name in NAMES else None,
            size_bytes=len(value or b""),
        )
        for name, value in headers
    ]


def escaped(raw: bytes) -> str:
    r"""Return `raw` as text that cannot control a terminal; control characters and invalid UTF-8 become escapes (``\x1b``)."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() or character in "\n\t" else character.encode("unicode_escape").decode()
        for character in text
    )
