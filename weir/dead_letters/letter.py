"""One dead letter as facts: where it came from, why it is here, its size; never its content."""

import re
from collections.abc import Sequence

import msgspec
from aiokafka.structs import ConsumerRecord

from stream.dead_letters import HEADER_PREFIX, REPLAYED

__all__ = ["DeadLetter", "Header", "escaped", "letter_of", "note_of", "shown_headers"]

#: Ids are shown where they look like ids: in a record that is garbage, a header may hold anything.
_ID = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
#: Headers that Weir or a tracer writes; the values of others are content.
_OURS = ("ce_", HEADER_PREFIX)
_OURS_TOO = ("content-type", "traceparent", "tracestate")
_NUMBER = re.compile(rb"[0-9]{1,18}")


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter, less its content.

    Parameters
    ----------
    offset
        Its offset on the dead-letter topic: its name for the commands.
    time
        When it was kept, seconds since the epoch.
    stage
        The agent that gave up on it; "" where the record says nothing of where it is from.
    topic, partition, source_offset
        Where it was read; -1 where that is not said.
    disposition
        ``decode``, ``schema``, ``oversize``, ``timeout`` or ``bug``.
    place, exception
        The class in which it failed, and the exception's.
    attempt
        Which failure this was.
    size_bytes
        Of the value; 0 where only its place was kept (:attr:`value_kept`).
    request_id, event_type
        Where a header tells them.
    value_kept
        False where the value did not fit beside our headers: it is read at its place.
    replayed_at, replayed_to
        When it was last put back, and at which offset of its topic and partition.
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
    """A header; `value` is None where it may be content and was not asked for."""

    name: str
    value: str | None
    size_bytes: int


def letter_of(record: ConsumerRecord) -> DeadLetter:
    """Return the facts of the letter that `record` is."""
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


def note_of(record: ConsumerRecord) -> tuple[int, int] | None:
    """Return (offset of the letter, offset where it stands again) where `record` is the note of a replay, else None."""
    headers = dict(record.headers)
    if REPLAYED not in headers:
        return None
    return _number(headers[REPLAYED]), _number(headers.get(f"{HEADER_PREFIX}offset"))


def shown_headers(headers: Sequence[tuple[str, bytes]], *, content: bool) -> list[Header]:
    """Return `headers` in their order; the values of those that Weir does not write only with `content`."""
    return [
        Header(
            name=escaped(name.encode()),
            value=escaped(value) if content or name.startswith(_OURS) or name in _OURS_TOO else None,
            size_bytes=len(value),
        )
        for name, value in headers
    ]


def escaped(raw: bytes) -> str:
    r"""Return `raw` as text that a terminal prints and does not obey: what is not UTF-8, and control characters, as ``\x1b``."""
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
