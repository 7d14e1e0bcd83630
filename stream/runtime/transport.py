"""Faust's aiokafka transport with a commit that never passes an unfinished message.

Why this exists: `Consumer._new_offset` of faust-streaming 0.15 commits past messages in flight (faults.md, traps 1 to 3), and
Faust acknowledges on its own what an agent never saw (a message of an older generation, one that it cannot decode, one
whose agent raised). Here only :meth:`Consumer.settle`, called by an agent that has finished, lets an offset go.

It also loses records at the end of a recovery, until the next rebalance (faust-streaming#596): it resumes partitions, seeks
them, and clears every queue, while a fetch that is under way may bring a record of theirs at each point, and moves their
position. It loses states at the beginning of one, where a rebalance has interrupted another: the same fetch takes what the
seek came back for. Here a seek waits for the fetch, a resumed partition for the flow, and a fetch keeps to what was active when
it began (Faust hands aiokafka its live set, which means "all partitions" when it empties).

And it remembers over a rebalance which partitions were not fetched because their queue was full. As the agent took what was
left, such a partition was fetched in the middle of the recovery, worked on with half a state, and delivered again at its end;
and a fetch that a rebalance overtook was delivered as one of the new assignment. Here a rebalance ends that too.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream.kafka.ack_tracker import AckTracker
from stream.kafka.clients import paced
from stream.wire.topics import copies

__all__ = ["Consumer", "Producer", "Transport"]


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread around aiokafka's consumer."""

    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> Any:
        return paced(super()._create_consumer(loop))


class Consumer(driver.Consumer):
    """A consumer whose committable offsets come from an :class:`~stream.kafka.ack_tracker.AckTracker`."""

    def __init__(
        self, transport: Any, callback: Any, on_partitions_revoked: Any, on_partitions_assigned: Any, **kwargs: Any
    ) -> None:
        self.tracker: AckTracker[TP] = AckTracker()
        self._forward = callback
        self._waiting_for_flow: set[TP] = set()
        self._position = asyncio.Lock()  # held by what moves positions: a fetch, a seek to what is committed
        super().__init__(transport, self._deliver, on_partitions_revoked, on_partitions_assigned, **kwargs)

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _deliver(self, message: Any) -> None:
        if self.app.topics.acks_enabled_for(message.topic):
            self.tracker.deliver(TP(message.topic, message.partition), message.offset, message.generation_id)
        await self._forward(message)

    @property
    def member_id(self) -> str:
        """What the group's coordinator calls this consumer; "" before it has joined."""
        consumer = getattr(self._thread, "_consumer", None)
        coordinator = getattr(consumer, "_coordinator", None)
        return str(getattr(coordinator, "member_id", ""))

    def settle(self, message: Any) -> bool:
        """Let `message`'s offset go; False where its assignment has ended since."""
        return self.tracker.ack(TP(message.topic, message.partition), message.offset, message.generation_id)

    def committed(self, tp: TP) -> int | None:
        """Return the offset last committed, as far as this worker knows."""
        return self._committed_offset[tp]

    def ack(self, message: Any) -> bool:
        """Keep Faust's mark that nobody holds the message any more; it moves no offset."""
        first = not message.acked
        message.acked = True
        self._unacked_messages.discard(message)
        return first

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        async with self._position:
            wanted = set(active_partitions or ())
            return await super()._getmany(wanted, timeout) if wanted else {}

    async def perform_seek(self) -> None:
        """Seek every partition to its committed offset, when no fetch is under way."""
        async with self._position:
            await super().perform_seek()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek what was never committed too, to its beginning: Faust leaves it where a fetch before the rebalance has moved it."""
        offsets = await super().seek_to_committed()
        fresh = [tp for tp, offset in offsets.items() if not offset and self.app.topics.acks_enabled_for(tp.topic)]
        if fresh:
            await self._thread.seek_to_beginning(*fresh)
        return offsets

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Seek changelogs to what recovery has seen, when no fetch is under way.

        A fetch of a recovery that a rebalance interrupts may end after the seek of the next one: what it takes there is dropped,
        because the flow stands still, and the table would lack it for good.
        """
        async with self._position:
            await super().seek_wait(partitions)

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        """Fetch no more from `tps`."""
        paused = set(tps)
        self._waiting_for_flow -= paused
        super().pause_partitions(paused)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Fetch from `tps` as soon as the flow resumes, which is when queues are no longer cleared."""
        self._waiting_for_flow.update(tps)

    def resume_flow(self) -> None:
        """Let messages come, those of resumed partitions too."""
        resumed, self._waiting_for_flow = self._waiting_for_flow, set()
        super().resume_partitions(resumed)
        super().resume_flow()

    def _new_offset(self, tp: TP) -> int | None:
        return self.tracker.position(tp)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in self.tracker.partitions if topics is None or tp in topics or tp.topic in topics)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Keep no intervals: the tracker needs no gaps, and Faust's would grow for ever."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Fetch again from a partition whose queue was full, unless it is paused: then whoever resumes it does."""
        if tp not in self._paused_partitions:
            super().on_buffer_drop(tp)

    async def on_partitions_revoked(self, revoked: Iterable[TP]) -> None:
        """Forget what was in flight, and whose queue was full; the next generation gets it again."""
        self.tracker.revoke(revoked)
        self._buffered_partitions.clear()
        await super().on_partitions_revoked(set(revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TP], generation_id: int = 0) -> None:
        """Begin the generation before the first message of it can arrive."""
        self.tracker.assign((TP(tp.topic, tp.partition) for tp in assigned), generation_id)
        await super().on_partitions_assigned(set(assigned), generation_id)


class Producer(driver.Producer):
    """A producer that waits for all in-sync replicas.

    Not idempotent: an expired batch can lose an idempotent producer its sequence for good (aiokafka#1017), every effect of
    ours may be repeated anyway, and aiokafka keeps one batch a partition in flight, so that order holds without.
    """

    def _settings_extra(self) -> dict[str, Any]:
        return {"acks": "all"}

    async def send(self, topic: str, *args: Any, **kwargs: Any) -> Any:
        """Send, `topic` being among those whose leaders are asked for from now on.

        aiokafka asks for all topics until it meets one that it does not know, and from then on for that one alone (a changelog that
        was made after the producer started): what was under way to another had no leader, and waited 30 s for its batch to expire.
        """
        self._ensure_producer().client.add_topic(topic)
        return await super().send(topic, *args, **kwargs)


class Transport(driver.Transport):
    """The transport of every Weir app, set on ``app.transport`` and ``app.producer_transport``."""

    Consumer: ClassVar[Any] = Consumer
    Producer: ClassVar[Any] = Producer

    async def _create_topic(
        self, owner: Any, client: Any, topic: str, partitions: int, replication: int, **kwargs: Any
    ) -> None:
        """Create a changelog with as many copies as the other topics have; Faust's setting is one number for every cluster."""
        del replication
        brokers = len(client.cluster.brokers())
        await super()._create_topic(owner, client, topic, partitions, copies(brokers), **kwargs)
