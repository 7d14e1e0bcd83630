"""Doubles of aiokafka's clients on a simulated broker, with only the methods that Weir calls."""

import asyncio
from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock

from aiokafka.structs import TopicPartition

import stream.kafka.clients
from support.protocol.network import Line, Network
from support.protocol.virtual_time import CURRENT
from support.simulated_kafka import Place

#: The network of each bootstrap address.
_NETWORKS: dict[str, Network] = {}


@contextmanager
def doubled(address, network):
    """Replace aiokafka's clients by the doubles, and connect clients of `address` to `network`."""
    doubles = {"AIOKafkaConsumer": Consumer, "AIOKafkaProducer": Producer, "AIOKafkaAdminClient": Admin}
    _NETWORKS[address] = network
    try:
        with mock.patch.multiple(stream.kafka.clients, **doubles):
            yield
    finally:
        del _NETWORKS[address]


class Producer:
    """A producer; with `enable_idempotence`, the first failure in a partition breaks the sequence of that partition."""

    def __init__(self, *, bootstrap_servers, enable_idempotence=False, **_):
        self.network = _NETWORKS[bootstrap_servers]
        self.process = CURRENT.get()
        self.idempotent = enable_idempotence
        self._lines: dict[Place, Line] = {}
        self.client = SimpleNamespace(fetch_all_metadata=self._metadata, close=self._close)
        self._sender = SimpleNamespace(sender_task=None)
        self._message_accumulator = SimpleNamespace(fail_all=self.fail, _batches={}, _pending_batches=set())
        self.ended = False

    async def start(self):
        await self.network.travel()
        self.network.producers.append(self)

    async def stop(self):
        self.ended = True

    async def send(self, topic, value=None, key=None, partition=0, timestamp_ms=None, headers=()):  # noqa: PLR0917 - as aiokafka
        return self.push(topic, key, value, partition, headers)

    async def send_and_wait(self, topic, value=None, **more):
        return await (await self.send(topic, value, **more))

    async def flush(self):
        waiting = [future for line in self._lines.values() for future in line.futures]
        if waiting:
            await asyncio.wait(waiting)

    def push(self, topic, key, value, partition, headers):
        """Begin to send a record."""
        if self.process is not None and not self.process.alive:
            raise asyncio.CancelledError
        line = self._lines.get((topic, partition))
        if line is None:
            line = Line(self.network, self.process, (topic, partition), idempotent=self.idempotent)
            self._lines[topic, partition] = line
        return line.push((key, value, tuple(headers or ())))

    def fail(self, error, *, written=0):
        """Fail all records in flight, although the first `written` of each partition are written."""
        for line in self._lines.values():
            line.fail(error, written=written)

    async def _metadata(self):
        await self.network.travel()
        topics = self.network.kafka.topics
        return SimpleNamespace(partitions_for_topic=lambda topic: set(range(topics.get(topic, 0))))

    async def _close(self):
        return


class Consumer:
    """A consumer with manually assigned partitions."""

    def __init__(self, *, bootstrap_servers, group_id=None, **_):
        self._network = _NETWORKS[bootstrap_servers]
        self._kafka = self._network.kafka
        self._group = group_id
        self._positions: dict[Place, int] = {}
        self._client = SimpleNamespace(send=None, close=self.stop)

    async def start(self):
        await self._network.travel()

    async def stop(self):
        self._positions = {}

    def assign(self, places):
        self._positions = dict.fromkeys(places, 0)

    def seek(self, place, offset):
        self._positions[place] = offset

    async def position(self, place):
        return self._positions[place]

    def partitions_for_topic(self, topic):
        count = self._kafka.topics.get(topic)
        return None if count is None else set(range(count))

    async def beginning_offsets(self, places):
        await self._network.travel()
        return {place: await self._first(place) for place in places}

    async def end_offsets(self, places):
        await self._network.travel()
        return {place: self._kafka.end(place) for place in places}

    async def offsets_for_times(self, times):
        await self._network.travel()
        found = {}
        for place, time in times.items():
            log = self._kafka.read(place, 0, self._kafka.end(place))
            found[place] = next((SimpleNamespace(offset=r.offset) for r in log if r.timestamp >= time), None)
        return found

    async def getmany(self, *places, timeout_ms=0, max_records=None):
        await self._network.travel()
        if not (found := self._fetch(places, max_records)) and timeout_ms:
            await asyncio.sleep(timeout_ms / 1000)
            await self._network.travel()
            found = self._fetch(places, max_records)
        return found

    async def getone(self, place):
        while not (found := await self.getmany(place, timeout_ms=100, max_records=1)):
            pass
        return found[place][0]

    def _fetch(self, places, most):
        """Return the next records of each partition; as from a real broker, these may be fewer than it has."""
        found = {}
        for place in places or tuple(self._positions):
            records = self._kafka.read(place, self._positions[place], self._network.random.randint(1, most or 50))
            if records:
                found[place] = records
                self._positions[place] = records[-1].offset + 1
            else:
                self._positions[place] = max(self._positions[place], self._kafka.end(place))
        return found

    async def _first(self, place):
        log = self._kafka.read(place, 0, 1)
        return log[0].offset if log else self._kafka.end(place)


class Admin:
    """The admin client."""

    def __init__(self, *, bootstrap_servers, **_):
        self._network = _NETWORKS[bootstrap_servers]

    async def start(self):
        await self._network.travel()

    async def close(self):
        return

    async def describe_topics(self):
        await self._network.travel()
        return [{"topic": topic, "partitions": range(count)} for topic, count in self._network.kafka.topics.items()]

    async def list_consumer_group_offsets(self, group):
        await self._network.travel()
        committed = self._network.kafka.group(group).committed
        return {TopicPartition(*place): SimpleNamespace(offset=offset) for place, offset in committed.items()}


def lose_producer(network, error, *, written):
    """Make the newest idempotent producer of a live process fail."""
    alive = [made for made in network.producers if not made.ended and made.process is not None and made.process.alive]
    network.producers = [made for made in alive if made.idempotent]
    if network.producers:
        network.producers[-1].fail(error, written=written)
