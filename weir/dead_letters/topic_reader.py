"""The dead-letter topic, read: every letter, one letter, and what was put back."""

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing

import msgspec
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.errors import no_kafka
from stream.kafka.clients import BROKER_ERRORS, consumer_for
from stream.kafka.log_reader import record_at
from stream.kafka.tail import Tail
from stream.settings import KafkaSettings
from weir.dead_letters.letter import DeadLetter, letter_of, note_of
from weir.errors import NotFoundError

__all__ = ["DeadLetterLog"]


class DeadLetterLog:
    """The dead letters of a stack.

    Every method raises BrokerError where no Kafka answers, and NotFoundError where there is no such topic.

    Parameters
    ----------
    kafka
        Settings with an address.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._topic = kafka.names.dead_letters

    async def letters(self, since: float | None = None) -> list[DeadLetter]:
        """Return the letters that were kept from `since` (seconds since the epoch) on, oldest first."""
        found: dict[int, DeadLetter] = {}
        notes: dict[int, tuple[float, int]] = {}
        tail = Tail(self._kafka.client_options(), self._topic, since=since, follow=False)
        async with aclosing(tail.records()) as records:
            async for record in records:
                note = note_of(record)
                if note is None:
                    found[record.offset] = letter_of(record)
                else:
                    notes[note[0]] = (record.timestamp / 1000, note[1])
        for offset, (at, to) in notes.items():
            if offset in found:
                found[offset] = msgspec.structs.replace(found[offset], replayed_at=at, replayed_to=to)
        return [found[offset] for offset in sorted(found)]

    async def records(self, offsets: Collection[int]) -> AsyncGenerator[ConsumerRecord, None]:
        """Yield the records at `offsets` that the log still holds, in one pass."""
        wanted = set(offsets)
        tail = Tail(self._kafka.client_options(), self._topic, follow=False)
        async with aclosing(tail.records()) as records:
            async for record in records:
                if record.offset in wanted:
                    wanted.remove(record.offset)
                    yield record
                if not wanted:
                    return

    async def one(self, offset: int) -> tuple[ConsumerRecord, DeadLetter]:
        """Return the letter at `offset`, as it is and as facts.

        Raises
        ------
        NotFoundError
            The log holds no letter there.
        """
        try:
            async with consumer_for(self._kafka.client_options()) as consumer:
                record = await record_at(consumer, TopicPartition(self._topic, 0), offset)
        except BROKER_ERRORS as error:
            raise no_kafka(self._kafka.bootstrap_servers) from error
        letters = await self.letters(record.timestamp / 1000) if record is not None else []
        letter = next((letter for letter in letters if letter.offset == offset), None)
        if record is None or letter is None:
            raise NotFoundError(
                f"no dead letter at offset {offset} of {self._topic}; `weir dlq list` prints the offsets that it holds"
            )
        return record, letter
