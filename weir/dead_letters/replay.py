"""Replay dead letters to the topic and partition of their source, with the same key, value and headers.

So the ids of events do not change, and processing is idempotent. Weir's error headers stay on the record: if the record fails again, its new
letter has the next attempt number. After the broker's acknowledgement, the replay writes a note to the dead-letter topic. If the process is
killed before it writes the note, the next replay sends the letter again.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import BrokerResponseError, MessageSizeTooLargeError, RecordListTooLargeError
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.dead_letters import HEADER_PREFIX, REPLAYED
from stream.errors import BrokerError, kafka_problem
from stream.kafka.clients import BROKER_ERRORS, consumer_for, producer_for
from stream.kafka.log_reader import record_at
from stream.kafka.tail import Tail
from stream.kafka.topic_checks import partition_counts
from stream.settings import KafkaSettings
from weir.dead_letters.letter import DeadLetter, missing_source
from weir.dead_letters.topic_reader import DeadLetterTopic

REPLAYED_NOW, WOULD_REPLAY, SKIPPED, FAILED = "replayed", "would replay", "skipped", "failed"
_ATTEMPT = f"{HEADER_PREFIX}attempt"
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
#: Larger than any limit of a broker, so that the broker rejects too large records, not this producer.
_MAX_REQUEST_BYTES = 64 * 1024 * 1024
_EXPIRED = "it expired during the replay; raise [kafka] retention_hours"
_CHUNK_LETTERS = 200
_CHUNK_BYTES = 8 * 1024 * 1024

Headers = tuple[tuple[str, bytes], ...]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome for the letter at `offset`: `result` is one of the constants above, `detail` the target or the reason."""

    offset: int
    result: str
    detail: str


class _Original(msgspec.Struct, frozen=True, kw_only=True):
    """The record to send again. `own` has the source record's headers, `errors` the dead letter's error headers."""

    key: bytes | None
    value: bytes | None
    own: Headers
    errors: Headers

    def header_choices(self) -> tuple[Headers, ...]:
        """Return the header lists to try, in this order, until the record is small enough.

        All lists have the original headers. The first also has all error headers, the second only the attempt number.
        """
        attempt = tuple(pair for pair in self.errors if pair[0] == _ATTEMPT)
        return (self.own + self.errors, self.own + attempt, self.own)


class _NotReplayed(Exception):
    """A letter was not replayed; the arguments are `result` and `detail` of its outcome."""


async def replay(
    kafka: KafkaSettings,
    letters: Iterable[DeadLetter],
    *,
    dry_run: bool = False,
    again: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Outcome]:
    """Replay `letters` in the order of their offsets and return the outcome of each; raises BrokerError.

    `progress` is called with the numbers of letters that are done and of all letters.
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
                progress(len(done), total)
    except BROKER_ERRORS as error:
        raise BrokerError(
            f"{kafka_problem(kafka.bootstrap_servers, error)}; {len(done)} of {total} dead letters are done; when Kafka works, "
            "repeat the command, and it continues with the others"
        ) from error
    done += [Outcome(offset=offset, result=FAILED, detail=_EXPIRED) for offset in waiting]
    return sorted(done, key=lambda outcome: outcome.offset)


async def _chunks(
    kafka: KafkaSettings, waiting: dict[int, DeadLetter]
) -> AsyncGenerator[list[tuple[DeadLetter, ConsumerRecord]], None]:
    """Read the records of the letters in chunks of limited size; remove the letters of each chunk from `waiting`."""
    chunk: list[tuple[DeadLetter, ConsumerRecord]] = []
    chunk_bytes = 0
    async with aclosing(DeadLetterTopic(kafka).records(tuple(waiting))) as records:
        async for record in records:
            chunk.append((waiting.pop(record.offset), record))
            chunk_bytes += len(record.value or b"")
            if len(chunk) >= _CHUNK_LETTERS or chunk_bytes >= _CHUNK_BYTES:
                yield chunk
                chunk, chunk_bytes = [], 0
    if chunk:
        yield chunk


class _Replayer:
    """Replays chunks of letters; without a `producer` it only checks them (a dry run)."""

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
        self._latest = _LatestRecords(kafka)
        self._reading = asyncio.Lock()

    async def chunk(self, chunk: list[tuple[DeadLetter, ConsumerRecord]]) -> list[Outcome]:
        """Replay the letters of a chunk concurrently, because a replay mostly waits for acknowledgements."""
        found = await asyncio.gather(*(self._outcome(*item) for item in chunk), return_exceptions=True)
        for item in found:
            if isinstance(item, BaseException):
                raise item
        return [item for item in found if isinstance(item, Outcome)]

    async def _outcome(self, letter: DeadLetter, record: ConsumerRecord) -> Outcome:
        try:
            result, detail = await self._replay(letter, record)
        except _NotReplayed as reason:
            result, detail = reason.args
        return Outcome(offset=letter.offset, result=result, detail=detail)

    async def _replay(self, letter: DeadLetter, record: ConsumerRecord) -> tuple[str, str]:
        target = f"{letter.topic}-{letter.partition}"
        if missing := missing_source(letter, self._counts):
            prefix = "" if letter.topic in self._counts else "set WEIR_KAFKA__TOPIC_PREFIX, or "
            remedy = f"{prefix}send it yourself from `weir dlq show {letter.offset} --text`"
            raise _NotReplayed(FAILED, f"{missing}; {remedy}")
        if letter.replayed_at is not None and not self._again:
            raise _NotReplayed(
                SKIPPED, f"replayed before to {target} offset {letter.replayed_to}; --again replays it once more"
            )
        original = await self._original(letter, record)
        newer = await self._latest.newer(
            letter.topic, letter.partition, letter.source_offset, original.key, dict(original.own)
        )
        if newer is not None:
            raise _NotReplayed(SKIPPED, f"{target} offset {newer} has a newer state of the same object")
        if self._producer is None:
            return WOULD_REPLAY, f"to {target}"
        offset = await self._produce(self._producer, letter, original)
        await self._note(self._producer, letter, offset)
        return REPLAYED_NOW, f"{target} offset {offset}"

    async def _original(self, letter: DeadLetter, record: ConsumerRecord) -> _Original:
        """Return the record to send; if the letter has no value, read the value from the source topic."""
        errors = tuple(pair for pair in record.headers if pair[0].startswith(HEADER_PREFIX))
        if not letter.value_kept:
            source = TopicPartition(letter.topic, letter.partition)
            async with self._reading:  # the consumer has one position
                found = await record_at(self._consumer, source, letter.source_offset)
            if found is None:
                where = f"{letter.topic}-{letter.partition} offset {letter.source_offset}"
                raise _NotReplayed(
                    FAILED, f"the value was too large for the dead-letter topic, and {where} has expired"
                )
            record = found
        own = tuple(pair for pair in record.headers if not pair[0].startswith(HEADER_PREFIX))
        return _Original(key=record.key, value=record.value, own=own, errors=errors)

    async def _produce(self, producer: AIOKafkaProducer, letter: DeadLetter, original: _Original) -> int:
        """Send the record, wait for the acknowledgement, and return its offset."""
        for headers in original.header_choices():
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
                raise _NotReplayed(
                    FAILED,
                    f"the broker rejects it: {type(error).__name__}; check the broker's log and this user's write ACLs",
                ) from error
            return int(sent.offset)
        raise _NotReplayed(
            FAILED,
            f"{len(original.value or b'')} bytes exceed max.message.bytes of {letter.topic}; raise it, then replay the letter again",
        )

    async def _note(self, producer: AIOKafkaProducer, letter: DeadLetter, offset: int) -> None:
        facts = {"topic": letter.topic, "partition": str(letter.partition), "offset": str(offset)}
        headers = [(HEADER_PREFIX + name, value.encode()) for name, value in facts.items()]
        headers.append((REPLAYED, str(letter.offset).encode()))
        try:
            await producer.send_and_wait(self._dead_letters, b"", partition=0, headers=headers)
        except BrokerResponseError as error:
            if error.retriable:
                raise
            raise _NotReplayed(
                FAILED,
                f"written to {letter.topic}-{letter.partition} offset {offset}, but the broker rejects the note about it "
                f"({type(error).__name__}), so a further replay writes the record again; this user needs Write on {self._dead_letters}",
            ) from error


class _LatestRecords:
    """Offsets of the newest record of each alert and retraining run; a topic is read when it is first needed.

    Consumers use the newest record of an alert or a retraining run as its state, so a replay must not append an older record.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._options = kafka.client_options()
        self._topics = {kafka.names.alerts, kafka.names.retraining}
        self._latest: dict[str, dict[tuple[int, bytes | None, bytes], int]] = {}
        self._lock = asyncio.Lock()

    async def newer(
        self, topic: str, partition: int, offset: int, key: bytes | None, headers: Mapping[str, bytes]
    ) -> int | None:
        """Return the offset of a newer record of the same alert or retraining run, or None."""
        if topic not in self._topics:
            return None
        async with self._lock:
            if topic not in self._latest:
                self._latest[topic] = await self._read(topic)
        latest = self._latest[topic].get((partition, key, headers.get("ce_subject", b"")), -1)
        return latest if latest > offset else None

    async def _read(self, topic: str) -> dict[tuple[int, bytes | None, bytes], int]:
        latest: dict[tuple[int, bytes | None, bytes], int] = {}
        async with aclosing(Tail(self._options, topic, follow=False).records()) as records:
            async for record in records:
                identity = (record.partition, record.key, dict(record.headers).get("ce_subject", b""))
                latest[identity] = max(record.offset, latest.get(identity, -1))
        return latest
