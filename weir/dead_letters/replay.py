"""Putting dead letters back where they came from: same key, value and headers, so that every effect has the same identity.

Our own headers stay with the record: what fails again comes back as another letter whose attempt is one higher. A letter that was
put back is noted on the dead-letter topic after the broker has acknowledged it; a kill in between puts it back twice, which
changes nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import BrokerResponseError, MessageSizeTooLargeError, RecordListTooLargeError
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.dead_letters import HEADER_PREFIX, REPLAYED
from stream.errors import BrokerError
from stream.kafka.clients import BROKER_ERRORS, consumer_for, producer_for
from stream.kafka.log_reader import record_at
from stream.kafka.topic_checks import partition_counts
from stream.settings import KafkaSettings
from weir.dead_letters.latest_states import LatestStates
from weir.dead_letters.letter import DeadLetter
from weir.dead_letters.topic_reader import DeadLetterLog

__all__ = ["FAILED", "REPLAYED_NOW", "SKIPPED", "WOULD_REPLAY", "Outcome", "replay"]

REPLAYED_NOW, WOULD_REPLAY, SKIPPED, FAILED = "replayed", "would replay", "skipped", "failed"
_ATTEMPT = f"{HEADER_PREFIX}attempt"
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
#: The broker says what is too large, not this producer.
_MAX_REQUEST_BYTES = 64 * 1024 * 1024
_EXPIRED = "it expired while this ran: [kafka] retention_hours keeps letters longer"
_CHUNK_LETTERS = 200
_CHUNK_BYTES = 8 * 1024 * 1024

Headers = tuple[tuple[str, bytes], ...]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one letter.

    Parameters
    ----------
    offset
        The letter's.
    result
        ``replayed``, ``would replay`` (a dry run), ``skipped`` (it must not, or need not, be put back) or ``failed``.
    detail
        Where it is put, or why not.
    """

    offset: int
    result: str
    detail: str


class _Original(msgspec.Struct, frozen=True, kw_only=True):
    """A record as it was read, with its own headers and ours."""

    key: bytes | None
    value: bytes | None
    own: Headers
    ours: Headers

    def tries(self) -> tuple[Headers, ...]:
        """Return the headers to put it back with; fewer where it is too large with more: as it was, it did fit."""
        attempt = tuple(pair for pair in self.ours if pair[0] == _ATTEMPT)
        return (self.own + self.ours, self.own + attempt, self.own)


class _Withheld(Exception):
    """A letter that is not put back; the argument is its result."""


async def replay(
    kafka: KafkaSettings,
    letters: Iterable[DeadLetter],
    *,
    dry_run: bool = False,
    again: bool = False,
    progress: Callable[[int], None] = lambda _done: None,
) -> list[Outcome]:
    """Put `letters` back in the order of their offsets; return what became of each.

    Parameters
    ----------
    kafka
        Settings with an address.
    letters
        From :meth:`~weir.dead_letters.topic_reader.DeadLetterLog.letters`.
    dry_run
        Look, and produce nothing.
    again
        Also put back what was put back before.
    progress
        Told how many more are done.

    Raises
    ------
    BrokerError
        Kafka does not answer; what was put back until then is noted.
    """
    waiting = {letter.offset: letter for letter in letters}
    total = len(waiting)
    done: list[Outcome] = []
    options = kafka.client_options()
    names = {topic.name for topic in kafka.topics()} - {kafka.names.dead_letters}
    try:
        counts = await partition_counts(options, names)
        async with (
            consumer_for(options) as consumer,
            producer_for(options, max_request_size=_MAX_REQUEST_BYTES) as producer,
            aclosing(_chunks(kafka, waiting)) as chunks,
        ):
            replayer = _Replayer(kafka, counts, consumer, None if dry_run else producer, again=again)
            async for chunk in chunks:
                done += await replayer.chunk(chunk)
                progress(len(chunk))
    except BROKER_ERRORS as error:
        raise BrokerError(
            f"Kafka at {kafka.bootstrap_servers} does not answer ({type(error).__name__}); {len(done)} of {total} dead letters "
            "are done, and those put back are noted: the same command goes on when Kafka is back"
        ) from error
    done += [Outcome(offset=offset, result=FAILED, detail=_EXPIRED) for offset in waiting]
    return sorted(done, key=lambda outcome: outcome.offset)


async def _chunks(
    kafka: KafkaSettings, waiting: dict[int, DeadLetter]
) -> AsyncGenerator[list[tuple[DeadLetter, ConsumerRecord]], None]:
    """Yield the records of `waiting`, bounded in number and bytes; what was found is taken from it."""
    chunk: list[tuple[DeadLetter, ConsumerRecord]] = []
    held_bytes = 0
    async with aclosing(DeadLetterLog(kafka).records(tuple(waiting))) as records:
        async for record in records:
            chunk.append((waiting.pop(record.offset), record))
            held_bytes += len(record.value or b"")
            if len(chunk) >= _CHUNK_LETTERS or held_bytes >= _CHUNK_BYTES:
                yield chunk
                chunk, held_bytes = [], 0
    if chunk:
        yield chunk


class _Replayer:
    """One run: `producer` is None where nothing is to be produced."""

    def __init__(
        self,
        kafka: KafkaSettings,
        counts: dict[str, int],
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer | None,
        *,
        again: bool,
    ) -> None:
        self._dead_letters = kafka.names.dead_letters
        self._counts = counts
        self._consumer = consumer
        self._producer = producer
        self._again = again
        self._states = LatestStates(kafka)
        self._reading = asyncio.Lock()

    async def chunk(self, chunk: list[tuple[DeadLetter, ConsumerRecord]]) -> list[Outcome]:
        """Put all of `chunk` back, overlapped: waiting for acknowledgements one by one would cost most of the time."""
        found = await asyncio.gather(*(self._outcome(*item) for item in chunk), return_exceptions=True)
        for item in found:
            if isinstance(item, BaseException):
                raise item
        return [item for item in found if isinstance(item, Outcome)]

    async def _outcome(self, letter: DeadLetter, record: ConsumerRecord) -> Outcome:
        try:
            result, detail = await self._put_back(letter, record)
        except _Withheld as withheld:
            result, detail = withheld.args
        return Outcome(offset=letter.offset, result=result, detail=detail)

    async def _put_back(self, letter: DeadLetter, record: ConsumerRecord) -> tuple[str, str]:
        place = f"{letter.topic}-{letter.partition}"
        if not 0 <= letter.partition < self._counts.get(letter.topic, 0):
            raise _Withheld(FAILED, self._elsewhere(letter, place if letter.topic else "no topic"))
        if letter.replayed_at is not None and not self._again:
            raise _Withheld(SKIPPED, f"it was put back before, as {place} offset {letter.replayed_to}; see --again")
        original = await self._original(letter, record)
        newer = await self._states.newer(
            letter.topic, letter.partition, letter.source_offset, original.key, dict(original.own)
        )
        if newer is not None:
            raise _Withheld(SKIPPED, f"{place} offset {newer} states the same thing as it is now")
        if self._producer is None:
            return WOULD_REPLAY, f"to {place}"
        offset = await self._produce(self._producer, letter, original)
        await self._note(self._producer, letter, offset)
        return REPLAYED_NOW, f"{place} offset {offset}"

    def _elsewhere(self, letter: DeadLetter, place: str) -> str:
        return (
            f"its headers name {place}; Weir's topics here are {', '.join(sorted(self._counts))}: set "
            f"WEIR_KAFKA__TOPIC_PREFIX, or write it yourself from `weir dlq show {letter.offset} --text`"
        )

    async def _original(self, letter: DeadLetter, record: ConsumerRecord) -> _Original:
        """Return what is to be put back; where the letter has only its place, it is read there."""
        ours = _ours(record.headers)
        if not letter.value_kept:
            source = TopicPartition(letter.topic, letter.partition)
            async with self._reading:  # one consumer, one position
                found = await record_at(self._consumer, source, letter.source_offset)
            if found is None:
                where = f"{letter.topic}-{letter.partition} offset {letter.source_offset}"
                raise _Withheld(FAILED, f"it was too large to be kept, and {where} has expired: nothing is left of it")
            record = found
        own = tuple(pair for pair in record.headers if not pair[0].startswith(HEADER_PREFIX))
        return _Original(key=record.key, value=record.value, own=own, ours=ours)

    async def _produce(self, producer: AIOKafkaProducer, letter: DeadLetter, original: _Original) -> int:
        """Return the offset at which the record now stands, acknowledged."""
        for headers in original.tries():
            try:
                sent = await producer.send_and_wait(
                    letter.topic,
                    original.value,
                    key=original.key,
                    partition=letter.partition,
                    headers=list(headers),
                )
            except _TOO_LARGE:
                continue
            except BrokerResponseError as error:
                if error.retriable:
                    raise
                raise _Withheld(
                    FAILED,
                    f"the broker refuses it: {type(error).__name__}; see the broker's log and this user's rights to write",
                ) from error
            return int(sent.offset)
        raise _Withheld(
            FAILED,
            f"{len(original.value or b'')} bytes are over max.message.bytes of {letter.topic}; raise it there, then replay again",
        )

    async def _note(self, producer: AIOKafkaProducer, letter: DeadLetter, offset: int) -> None:
        facts = {"topic": letter.topic, "partition": str(letter.partition), "offset": str(offset)}
        headers = [(HEADER_PREFIX + name, value.encode()) for name, value in facts.items()]
        headers.append((REPLAYED, str(letter.offset).encode()))
        await producer.send_and_wait(self._dead_letters, b"", partition=0, headers=headers)


def _ours(headers: Iterable[tuple[str, bytes]]) -> Headers:
    return tuple(pair for pair in headers if pair[0].startswith(HEADER_PREFIX))
