"""A double of Faust's loop around Weir's agents, in virtual time: fetch, deliver, commit, rebalance, recover tables.

The app, its consumer and tracker, its tables, the agents' functions and Faust's messages and events are real. The double replaces
Faust's threads and services, and keeps their order of steps: see faust/app/base.py (`_on_partitions_revoked`),
faust/tables/recovery.py and faust/stores/memory.py.
"""

import asyncio
from typing import Any

from faust.events import Event
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from stream.runtime.transport import Consumer
from support.protocol.clients import Producer

_COMMIT_SECONDS = 1.0
_BATCH = 50


class _Feed:
    """An agent's stream: the events that were delivered and not yet read."""

    def __init__(self):
        self.queue: asyncio.Queue[Event] = asyncio.Queue()

    def noack(self):
        return self

    async def events(self):
        while True:
            yield await self.queue.get()

    def clear(self):
        while not self.queue.empty():
            self.queue.get_nowait()


class _Thread:
    """A double of Faust's thread that calls aiokafka's consumer."""

    beacon = None

    def __init__(self, worker):
        self._worker = worker

    def assignment(self):
        return set(self._worker.assigned)

    def topic_partitions(self, topic):
        return self._worker.network.kafka.topics.get(topic)

    def highwater(self, tp):
        return self._worker.network.kafka.end(tp)

    async def commit(self, offsets):
        worker = self._worker
        await worker.network.travel()
        done = worker.network.kafka.commit(worker.group, worker.generation, offsets)
        worker.process.effect()
        await worker.network.travel()
        return done


class _Consumer(Consumer):
    worker: "FaustWorker"

    def _new_consumer_thread(self):
        return _Thread(self.worker)


class _Producer:
    """A double of Faust's producer, on the double of aiokafka's producer."""

    def __init__(self, address):
        self._producer = Producer(bootstrap_servers=address)

    async def send(self, topic, key, value, partition, timestamp, headers):  # noqa: PLR0917 - Faust's signature
        return self._producer.push(topic, key, value, partition, headers)

    async def flush(self):
        await self._producer.flush()


class FaustWorker:
    """One worker process of an app that is never started; `agents` maps the topics of each agent to its function."""

    def __init__(self, process, network, address, app, agents):
        self.process = process
        self.network = network
        self.app = app
        self.group = str(app.conf.id)
        self.topics = {topic for topics in agents for topic in topics}
        self.generation = 0
        self.assigned: list[TP] = []
        self.slow: dict[TP, float] = {}
        self._feeds = {topics: _Feed() for topics in agents}
        self._agents = agents
        self._flow = False
        self._positions: dict[TP, int] = {}
        self._changelogs: dict[TP, int] = {}
        self._recovery: asyncio.Task[Any] | None = None
        self._adopt_app(address)

    def _adopt_app(self, address):
        app, loop = self.app, self.process.loop
        app.loop = loop
        app._producer = _Producer(address)
        app.topics._acking_topics.update(self.topics)
        _Consumer.worker = self
        app._consumer = self.consumer = _Consumer(
            app.transport, self._arrived, self._revoked, self._assigned, loop=loop
        )
        app.crash = self._crash

    def start(self):
        """Start the agents, the app's background tasks, the fetches and the commits."""
        for topics, body in self._agents.items():
            self.process.spawn(body(self._feeds[topics]))
        for task in self.app.background:
            self.process.spawn(task())
        self.process.spawn(self._fetch())
        self.process.spawn(self._commits())

    async def _crash(self, error):
        self.process.error = error
        self.process.kill()

    # -- called by the group coordinator

    async def revoke(self):
        """Revoke the assigned partitions before a rebalance."""
        await self.process.turn()
        if self._recovery is not None:
            self._recovery.cancel()
        await self.consumer.on_partitions_revoked(set(self.assigned))

    async def assign(self, places, generation):
        """Apply an assignment, and recover the tables of its partitions."""
        await self.process.turn()
        self.assigned, self.generation = sorted(places), generation
        await self.consumer.on_partitions_assigned(set(self.assigned), generation)

    async def _revoked(self, revoked):
        self._flow = False
        if revoked:
            for feed in self._feeds.values():
                feed.clear()
            await self.app.producer.flush()

    async def _assigned(self, assigned, generation=0):
        self._recovery = self.process.spawn(self._recover(sorted(assigned), generation))

    async def _recover(self, assigned, generation):
        partitions = sorted({tp.partition for tp in assigned})
        wanted = {
            TP(table.changelog_topic_name, number): table for table in self.app.tables.values() for number in partitions
        }
        self._changelogs = {tp: self._changelogs.get(tp, 0) for tp in wanted}
        await self.app.producer.flush()
        await self.network.travel()
        ends = {tp: self.network.kafka.end(tp) for tp in wanted}
        for tp, table in wanted.items():
            await self._read_changelog(tp, table, ends[tp])
        for table in self.app.tables.values():
            active = {tp for tp in wanted if wanted[tp] is table}
            await table.on_recovery_completed(active, set())
        await self.network.travel()
        if generation == self.generation:
            committed = self.network.kafka.group(self.group).committed
            self._positions = {tp: committed.get(tp, 0) for tp in assigned}
            self._flow = True

    async def _read_changelog(self, tp, table, end):
        while self._changelogs[tp] < end:
            await self.network.travel()
            records = [r for r in self.network.kafka.read(tp, self._changelogs[tp], _BATCH) if r.offset < end]
            table.apply_changelog_batch([self._event(tp, record) for record in records])
            self._changelogs[tp] = records[-1].offset + 1 if records else end

    # -- fetches and commits

    async def _fetch(self):
        random = self.network.random
        while True:
            await asyncio.sleep(random.uniform(0, 0.3))
            await self.network.up.wait()
            await self.process.turn()
            if not self._flow:
                continue
            places = [tp for tp in self.assigned if random.random() >= self.slow.get(tp, 0.0)]
            random.shuffle(places)
            for tp in places:
                await self._deliver(tp, random.randint(1, _BATCH))

    async def _deliver(self, tp, most):
        """Deliver up to `most` records in order; stop at a rebalance."""
        generation = self.generation
        for record in self.network.kafka.read(tp, self._positions.get(tp, 0), most):
            if not self._flow or generation != self.generation or tp not in self._positions:
                return
            self._positions[tp] = record.offset + 1
            await self.consumer.callback(self._event(tp, record).message)

    async def _arrived(self, message):
        """Put a message into its agent's stream, as Faust's conductor does."""
        feed = next(feed for topics, feed in self._feeds.items() if message.topic in topics)
        message.incref()
        event = Event(self.app, message.key, message.value, message.headers, message)
        feed.queue.put_nowait(event)

    def _event(self, tp, record):
        place, time = (record.topic, record.partition, record.offset), record.timestamp / 1000
        data = (record.headers, record.key, record.value, None)
        message = ConsumerMessage(*place, time, 0, *data, tp=tp, generation_id=self.generation)
        return Event(self.app, record.key, record.value, record.headers, message)

    async def _commits(self):
        while True:
            await asyncio.sleep(_COMMIT_SECONDS)
            await self.process.turn()
            await self.consumer.commit()
