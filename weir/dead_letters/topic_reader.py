"""Read the dead-letter topic: all letters, or one letter with or without its content."""

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing

import msgspec
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.content import raw_content
from stream.kafka.clients import consumer_for, needs_kafka
from stream.kafka.log_reader import record_at
from stream.kafka.tail import Tail
from stream.kafka.topic_checks import partition_counts
from stream.settings import KafkaSettings
from weir.dead_letters.letter import DeadLetter, ShownLetter, letter_of, missing_source, replay_note_of
from weir.dead_letters.shown_headers import escaped, shown_headers
from weir.errors import NotFoundError


class DeadLetterTopic:
    """The dead letters of a stack.

    Every method raises BrokerError if Kafka does not answer, and TopicMissing if the topic does not exist.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._options = kafka.client_options()
        self._topic = kafka.names.dead_letters

    async def letters(self, since: float | None = None) -> list[DeadLetter]:
        """Return the letters since `since` (seconds since the epoch), oldest first."""
        found: dict[int, DeadLetter] = {}
        notes: dict[int, tuple[float, int]] = {}
        async with aclosing(Tail(self._options, self._topic, since=since, follow=False).records()) as records:
            async for record in records:
                note = replay_note_of(record)
                if note is None:
                    found[record.offset] = letter_of(record)
                else:
                    notes[note[0]] = (record.timestamp / 1000, note[1])
        for offset, (at, to) in notes.items():
            if offset in found:
                found[offset] = msgspec.structs.replace(found[offset], replayed_at=at, replayed_to=to)
        return [found[offset] for offset in sorted(found)]

    async def records(self, offsets: Collection[int]) -> AsyncGenerator[ConsumerRecord, None]:
        """Yield the records at `offsets` that still exist, in one pass."""
        wanted = set(offsets)
        async with aclosing(Tail(self._options, self._topic, follow=False).records()) as records:
            async for record in records:
                if record.offset in wanted:
                    wanted.remove(record.offset)
                    yield record
                if not wanted:
                    return

    async def letter(self, offset: int, *, content: bool) -> ShownLetter:
        """Return the letter at `offset`; raises NotFoundError if there is none.

        With `content`, a value that was too large for the dead-letter topic is read from its source topic.
        """
        record = await self._record(TopicPartition(self._topic, 0), offset)
        letters = await self.letters(record.timestamp / 1000) if record is not None else []
        letter = next((letter for letter in letters if letter.offset == offset), None)
        if record is None or letter is None:
            raise NotFoundError(
                f"no dead letter at offset {offset} of {self._topic}; `weir dlq list` prints the offsets"
            )
        shown = ShownLetter(**msgspec.structs.asdict(letter), headers=shown_headers(record.headers, content=content))
        if not content:
            return shown
        if not letter.value_kept:
            record = await self._source(letter)
        return msgspec.structs.replace(
            shown,
            content=True,
            key=escaped(record.key) if record is not None and record.key is not None else None,
            text=escaped(raw_content(record)) if record is not None else None,
        )

    async def _source(self, letter: DeadLetter) -> ConsumerRecord | None:
        """Return the source record; a partition that does not exist would be a timeout of Kafka."""
        with needs_kafka(self._kafka.bootstrap_servers):
            counts = await partition_counts(self._options, {topic.name for topic in self._kafka.topics()})
        if missing := missing_source(letter, counts):
            raise NotFoundError(
                f"the value of dead letter {letter.offset} was too large for {self._topic}, and its source does not exist: {missing}. "
                "Without --text, the command prints the headers"
            )
        return await self._record(TopicPartition(letter.topic, letter.partition), letter.source_offset)

    async def _record(self, partition: TopicPartition, offset: int) -> ConsumerRecord | None:
        with needs_kafka(self._kafka.bootstrap_servers):
            async with consumer_for(self._options) as consumer:
                return await record_at(consumer, partition, offset)
