"""Metadata of a dead letter: source, stage, error, size; its content only on request."""

import re
from collections.abc import Sequence

import msgspec
from aiokafka.structs import ConsumerRecord

from stream.dead_letters import HEADER_PREFIX, REPLAYED

__all__ = ["DeadLetter", "Header", "ShownLetter", "escaped", "letter_of", "replay_note_of", "shown_headers"]

#: Values that are shown as ids: a header of a damaged record may contain anything.
_ID = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
#: Headers that Weir or a tracer writes; the values of all others are content.
_OWN_PREFIXES = ("ce_", HEADER_PREFIX)
_OWN_NAMES = ("content-type", "traceparent", "tracestate")
_NUMBER = re.compile(rb"[0-9]{1,18}")


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Metadata of a dead letter, which commands name by its `offset` on the dead-letter topic.

    `time` and `replayed_at` are seconds since the epoch. Without a header, `stage` and `topic` are "", `partition` and `source_offset` -1.
    `place` and `exception` are class names. If `value_kept` is false, the value was too large for the dead-letter topic and is read from the
    source. `replayed_to` is the offset of the last replay on the source's topic and partition.
    """

    offset: int
    time: float
    stage: str
    topic: str
    partition: int
    source_offset: int
    disposition: str
    place: str
    exception: str
    attempt: int
    size_bytes: int
    request_id: str | None
    event_type: str | None
    value_kept: bool
    replayed_at: float | None = None
    replayed_to: int | None = None


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """A header; `value` is None if it may be content and content was not requested."""

    name: str
    value: str | None
    size_bytes: int


class ShownLetter(DeadLetter, frozen=True, kw_only=True):
    """A letter with headers and, on request (`content`), key and text; `text` is None if the value is lost."""

    headers: list[Header]
    content: bool = False
    key: str | None = None
    text: str | None = None


def letter_of(record: ConsumerRecord) -> DeadLetter:
    """Return the metadata of a record of the dead-letter topic."""
    headers = dict(record.headers)

    def fact(name: str) -> str:
        return escaped(headers.get(HEADER_PREFIX + name, b""))

    value = record.value or b""
    disposition = fact("disposition")
    return DeadLetter(
        offset=record.offset,
        time=record.timestamp / 1000,
        stage=fact("stage"),
        topic=fact("topic"),
        partition=_number(headers.get(f"{HEADER_PREFIX}partition")),
        source_offset=_number(headers.get(f"{HEADER_PREFIX}offset")),
        disposition=disposition,
        place=fact("class.name"),
        exception=fact("exception.class.name"),
        attempt=max(_number(headers.get(f"{HEADER_PREFIX}attempt")), 0),
        size_bytes=len(value),
        request_id=_id(headers.get("ce_correlationid")),
        event_type=_id(headers.get("ce_type")),
        value_kept=bool(value) or record.key is not None or disposition != "oversize",
    )


def replay_note_of(record: ConsumerRecord) -> tuple[int, int] | None:
    """Return (offset of the letter, offset of the replayed record) if `record` notes a replay, else None."""
    headers = dict(record.headers)
    if REPLAYED not in headers:
        return None
    return _number(headers[REPLAYED]), _number(headers.get(f"{HEADER_PREFIX}offset"))


def shown_headers(headers: Sequence[tuple[str, bytes]], *, content: bool) -> list[Header]:
    """Return `headers` in order; values of headers that Weir does not write only with `content`."""
    return [
        Header(
            name=escaped(name.encode()),
            value=escaped(value) if content or name.startswith(_OWN_PREFIXES) or name in _OWN_NAMES else None,
            size_bytes=len(value),
        )
        for name, value in headers
    ]


def escaped(raw: bytes) -> str:
    r"""Return `raw` as text that cannot control a terminal: control characters and invalid UTF-8 as ``\x1b``."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() or character in "\n\t" else _escape(character) for character in text
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _number(raw: bytes | None) -> int:
    return int(raw) if raw is not None and _NUMBER.fullmatch(raw) else -1


def _id(raw: bytes | None) -> str | None:
    text = raw.decode("utf-8", "replace") if raw else ""
    return text if _ID.fullmatch(text) else None
