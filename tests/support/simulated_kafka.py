"""A broker in memory (partitions, compaction, consumer groups), and a double of the shipper's delivery that a test controls."""

import asyncio
import bisect
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from aiokafka.errors import MessageSizeTooLargeError, OutOfOrderSequenceNumber

from serving.capture.producer import DeliveryLost
from stream.settings import KafkaSettings
from stream.wire import decode

#: (topic, partition number); equal to Faust's TP and aiokafka's TopicPartition.
Place = tuple[str, int]


class Stored(msgspec.Struct, frozen=True):
    """A record as a consumer receives it; `timestamp` is in milliseconds."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int


class Group:
    """A consumer group's committed offsets, and the generation of its assignment."""

    def __init__(self) -> None:
        self.generation = 0
        self.committed: dict[Place, int] = {}


class SimulatedKafka:
    """Topics (name: number of partitions); `written` has all records, and `read` returns those that compaction has kept."""

    def __init__(self, topics: Mapping[str, int], clock: Callable[[], float] = time.time) -> None:
        self.topics = dict(topics)
        self.written: dict[Place, list[Stored]] = {
            (topic, number): [] for topic, count in topics.items() for number in range(count)
        }
        self._retained = {place: list[Stored]() for place in self.written}
        self._clock = clock
        self.groups: dict[str, Group] = {}
        self.on_commit: list[Callable[[str, Mapping[Place, int]], None]] = []

    def group(self, name: str) -> Group:
        """Return a group; create it if it does not exist."""
        return self.groups.setdefault(name, Group())

    def append(self, topic, partition, key, value, headers):
        """Append a record; every consumer can read it at once."""
        log = self.written[topic, partition]
        record = Stored(topic, partition, len(log), key, value, tuple(headers), int(self._clock() * 1000))
        log.append(record)
        self._retained[topic, partition].append(record)
        return record

    def end(self, place: Place) -> int:
        """Return the offset that the next record gets."""
        return len(self.written[place[0], place[1]])

    def read(self, place: Place, offset: int, count: int) -> list[Stored]:
        """Return the next `count` retained records from `offset` on."""
        log = self._retained[place[0], place[1]]
        if not log or log[-1].offset < offset:
            return []
        start = bisect.bisect_left(log, offset, key=lambda record: record.offset)
        return log[start : start + count]

    def compact(self, topic: str, keep_newest: int) -> None:
        """Keep the last record of each key, and all of the newest records: Kafka does not compact its active segment."""
        for number in range(self.topics[topic]):
            log = self._retained[topic, number]
            closed, active = log[: max(0, len(log) - keep_newest)], log[max(0, len(log) - keep_newest) :]
            newest = {record.key: record.offset for record in closed}
            self._retained[topic, number] = [r for r in closed if newest[r.key] == r.offset] + active

    def commit(self, group: str, generation: int, offsets: Mapping[Place, int]) -> bool:
        """Commit a group's offsets; return False if the group has another generation."""
        known = self.group(group)
        if generation != known.generation:
            return False
        for call in self.on_commit:
            call(group, offsets)
        known.committed |= offsets
        return True


class SteppedDelivery:
    """A double of Delivery: sent records wait until the test calls `take`, or makes the lease lost."""

    def __init__(self, partitions: int = 4) -> None:
        self.names = KafkaSettings().names
        self.partitions = partitions
        self.kafka = SimulatedKafka({self.names.inference: partitions, self.names.feedback: partitions})
        self.pending: list[tuple[Any, ...]] = []
        self.log: list[tuple[str, int, Any]] = []
        self.headers: list[Any] = []
        self.refuses: Callable[[Any], bool] = lambda _event: False
        self._lease = _SteppedLease(self)

    async def lease(self) -> "_SteppedLease":
        if self._lease.is_lost:
            self._lease = _SteppedLease(self)
        return self._lease

    def take(self, count: int | None = None) -> None:
        """Write the first `count` sent records to the broker, and acknowledge them.

        If the broker refuses a record, it rejects all records of the same partition, because they are one batch.
        """
        count = len(self.pending) if count is None else count
        taken, self.pending = self.pending[:count], self.pending[count:]
        rejected = {tuple(record[:2]) for _, *record in taken if self.refuses(_event(record))}
        for future, *record in taken:
            topic, partition, _, _, headers = record
            if (topic, partition) in rejected:
                _fail(future, MessageSizeTooLargeError())
                continue
            self.log.append((topic, partition, _event(record)))
            self.headers.append(headers)
            stored = self.kafka.append(*record)
            if not future.done():
                future.set_result(stored)

    def abandon(self) -> None:
        pending, self.pending = self.pending, []
        for future, *_ in pending:
            _fail(future, OutOfOrderSequenceNumber())


class _SteppedLease:
    def __init__(self, delivery: SteppedDelivery) -> None:
        self._delivery = delivery
        self.reason = ""
        self.is_lost = False

    async def send(self, topic: str, partition: int, key: Any, value: bytes, headers: Any) -> "asyncio.Future[Any]":
        if self.is_lost:
            raise DeliveryLost(self.reason)
        future = asyncio.get_running_loop().create_future()
        self._delivery.pending.append((future, topic, partition, key, value, headers))
        return future

    def lose(self, reason: str) -> None:
        if not self.is_lost:
            self.is_lost, self.reason = True, reason
            self._delivery.abandon()


def _event(record: list[Any]) -> Any:
    _, _, _, value, headers = record
    return decode(value, headers)


def _fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
