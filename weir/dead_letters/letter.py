"""A dead letter: its source, stage, error and size, and its content only on request."""

import re
from collections.abc import Mapping

import msgspec
from aiokafka.structs import ConsumerRecord

from stream.count_text import count_text
from stream.dead_letters import HEADER_PREFIX, REPLAYED
from weir.dead_letters.shown_headers import Header, escaped

#: Values that are shown as ids: a header of a damaged record may contain anything.
_ID = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
_NUMBER = re.compile(rb"[0-9]{1,18}")


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Metadata of a dead letter. Its `offset` on the dead-letter topic is its number in commands.

    `time` and `replayed_at` are seconds since the epoch. If a header is missing, `stage` and `topic` are "", and
    `partition` and `source_offset` are -1. `place` is the name of the class that failed, `exception` the class name of
    the error. `reason` is why the record is not an event, or "". If `value_kept` is false, the value was too large for the dead-letter topic and is read from the source
    topic. `replayed_to` is the offset of the last replayed record on the source topic.
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
    reason: str
    attempt: int
    size_bytes: int
    request_id: str | None
    event_type: str | None
    value_kept: bool
    replayed_at: float | None = None
    replayed_to: int | None = None


class ShownLetter(DeadLetter, frozen=True, kw_only=True):
    """A dead letter with its headers; `key` and `text` are set only if `content` is true.

    `text` is also None if the value must be read from the source topic and the source record has expired.
    """

    headers: list[Header]
    content: bool = False
    key: str | None = None
    text: str | None = None


def letter_of(record: ConsumerRecord) -> DeadLetter:
    """Return the metadata of a record of the dead-letter topic."""
    headers = dict(record.headers)

    def fact(name: str) -> str:
        return escaped(headers.get(HEADER_PREFIX + name) or b"")

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
        reason=fact("reason"),
        attempt=max(_number(headers.get(f"{HEADER_PREFIX}attempt")), 0),
        size_bytes=len(value),
        request_id=_id(headers.get("ce_correlationid")),
        event_type=_id(headers.get("ce_type")),
        value_kept=bool(value) or record.key is not None or disposition != "oversize",
    )


def missing_source(letter: DeadLetter, counts: Mapping[str, int]) -> str:
    """Return why the source of `letter` does not exist on the topics of `counts`, {topic: number of partitions}; "" if it exists."""
    count = counts.get(letter.topic)
    if count is None:
        named = f"{letter.topic}-{letter.partition}" if letter.topic else "no topic"
        return f"its headers name {named}, but the topics of this stack are {', '.join(sorted(counts))}"
    if 0 <= letter.partition < count:
        return ""
    bound = f"has {count_text(count, 'partition')} (0 to {count - 1})"
    return f"its headers name partition {letter.partition} of {letter.topic}, which {bound}; the topic may have been created again"


def replay_note_of(record: ConsumerRecord) -> tuple[int, int] | None:
    """Return (offset of the letter, offset of the replayed record) if `record` is the note of a replay, else None."""
    headers = dict(record.headers)
    if REPLAYED not in headers:
        return None
    return _number(headers[REPLAYED]), _number(headers.get(f"{HEADER_PREFIX}offset"))


def _number(raw: bytes | None) -> int:
    return int(raw) if raw is not None and _NUMBER.fullmatch(raw) else -1


def _id(raw: bytes | None) -> str | None:
    text = raw.decode("utf-8", "replace") if raw else ""
    return text if _ID.fullmatch(text) else None
