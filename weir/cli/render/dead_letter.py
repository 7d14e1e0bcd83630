"""One dead letter as ``weir dlq show`` prints it; its content only where that is asked for."""

import msgspec
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.errors import no_kafka
from stream.kafka.clients import BROKER_ERRORS, consumer_for
from stream.kafka.log_reader import record_at
from stream.settings import KafkaSettings
from weir.cli.render.status import clock
from weir.dead_letters.letter import DeadLetter, Header, escaped, shown_headers
from weir.dead_letters.topic_reader import DeadLetterLog

__all__ = ["ShownLetter", "letter_lines", "read_letter"]


class ShownLetter(DeadLetter, frozen=True, kw_only=True):
    """A letter and its headers, and with its content `key` and `text`; `text` is None where nothing is left of it."""

    headers: list[Header]
    content: bool = False
    key: str | None = None
    text: str | None = None


async def read_letter(kafka: KafkaSettings, offset: int, *, content: bool) -> ShownLetter:
    """Return the letter at `offset`.

    Raises
    ------
    NotFoundError
        There is none.
    BrokerError
        No Kafka answers.
    """
    record, letter = await DeadLetterLog(kafka).one(offset)
    headers = shown_headers(record.headers, content=content)
    if not content:
        return ShownLetter(**msgspec.structs.asdict(letter), headers=headers)
    original = record if letter.value_kept else await _source(kafka, letter)
    return ShownLetter(
        **msgspec.structs.asdict(letter),
        headers=headers,
        content=True,
        key=escaped(original.key) if original is not None and original.key is not None else None,
        text=escaped(original.value or b"") if original is not None else None,
    )


async def _source(kafka: KafkaSettings, letter: DeadLetter) -> ConsumerRecord | None:
    try:
        async with consumer_for(kafka.client_options()) as consumer:
            return await record_at(consumer, TopicPartition(letter.topic, letter.partition), letter.source_offset)
    except BROKER_ERRORS as error:
        raise no_kafka(kafka.bootstrap_servers) from error


def letter_lines(shown: ShownLetter) -> list[str]:
    """Return what a person reads."""
    size = f"{shown.size_bytes} bytes" if shown.value_kept else "too large to be kept here; it is read at its source"
    facts = {
        "dead letter": f"{shown.offset}, kept {clock(shown.time)}",
        "from": f"{shown.topic or '?'}-{shown.partition} offset {shown.source_offset}",
        "stage": f"{shown.stage or '?'}, in {shown.place or '?'}",
        "why": f"{shown.disposition}: {shown.exception}, attempt {shown.attempt}",
        "value": size,
        "request": shown.request_id or "",
        "put back": _put_back(shown),
    }
    lines = [f"{name:11}  {text}" for name, text in facts.items() if text]
    lines += ["", "headers"]
    lines += [f"  {one.name}: {one.value if one.value is not None else _hidden(one)}" for one in shown.headers]
    if shown.content:
        lines += ["", f"key: {shown.key}", "", shown.text if shown.text is not None else _GONE]
    return lines


_GONE = "the value was too large to be kept, and its source has expired: nothing is left of it"


def _hidden(header: Header) -> str:
    return f"({header.size_bytes} bytes, not Weir's; --text prints it)"


def _put_back(letter: DeadLetter) -> str:
    if letter.replayed_at is None:
        return ""
    return f"{clock(letter.replayed_at)}, as {letter.topic}-{letter.partition} offset {letter.replayed_to}"
