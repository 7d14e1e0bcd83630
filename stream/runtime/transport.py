"""Faust's aiokafka transport, with commits that never pass an unfinished record and recoveries that skip no record.

Commits: `Consumer._new_offset` of faust-streaming 0.15 commits past records in flight. Faust also acknowledges records that no agent has processed:
records of an older generation, undecodable records, and records whose agent raised an error. Here an offset can only be committed after an agent that
has finished calls :meth:`Consumer.acknowledge`.

Recoveries: Faust resumes partitions, seeks them and clears every queue while a fetch in progress adds records and moves positions
(faust-streaming#596). Here a seek waits for the fetch, a resumed partition waits until Faust delivers messages again, and a rebalance clears the set
of partitions with full queues. docs/design/traps.md, 21 to 30, has the details.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from aiokafka.errors import KafkaError, NodeNotReadyError
from faust.exceptions import NotReady, ProducerSendError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream.kafka.ack_tracker import AckTracker
from stream.kafka.clients import paced
from stream.runtime.membership import member_id
from stream.wire.topics import CHANGELOG_CONFIG, copies

#: Number of looks at the end of a partition, and the seconds between them: a new partition leader may report fewer records for a moment.
_END_LOOKS, _END_SECONDS = 3, 1.0
#: Longest time of a fetch at the broker, which answers the other requests of the connection afterwards: aiokafka's default; Faust's is 1,500.
_FETCH_MS = 500
#: Longest time of a fetch in a recovery, whose end waits for it, and the pause before the next look for partitions to fetch from.
_RECOVERY_SECONDS = 0.1


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread around aiokafka's consumer."""

    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> Any:
        consumer = super()._create_consumer(loop)
        vars(consumer)["_fetch_max_wait_ms"] = _FETCH_MS
        return paced(consumer)

    @property
    def member_id(self) -> str:
        """The consumer's id in its group; "" before it has joined."""
        return member_id(self._consumer)


class Consumer(driver.Consumer):
    """A consumer whose committable offsets come from an :class:`~stream.kafka.ack_tracker.AckTracker`."""

    _thread: ConsumerThread

    def __init__(
        self, transport: Any, callback: Any, on_partitions_revoked: Any, on_partitions_assigned: Any, **kwargs: Any
    ) -> None:
        self.tracker: AckTracker[TP] = AckTracker()
        self._forward = callback
        self._waiting_for_flow: set[TP] = set()
        self._position = asyncio.Lock()  # for operations that move positions: fetches and seeks
        super().__init__(transport, self._deliver, on_partitions_revoked, on_partitions_assigned, **kwargs)

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _deliver(self, message: Any) -> None:
        if self.app.topics.acks_enabled_for(message.topic):
            self.tracker.deliver(TP(message.topic, message.partition), message.offset, message.generation_id)
        await self._forward(message)

    @property
    def member_id(self) -> str:
        """The consumer's id in its group; "" before it has joined."""
        return self._thread.member_id

    def acknowledge(self, message: Any) -> bool:
        """Mark `message` as finished, for commits; return False if it is from an earlier assignment."""
        return self.tracker.ack(TP(message.topic, message.partition), message.offset, message.generation_id)

    def committed(self, tp: TP) -> int | None:
        """Return the offset that this worker committed last."""
        return self._committed_offset[tp]

    def ack(self, message: Any) -> bool:
        """Mark the message as acknowledged for Faust only; commits depend on :meth:`acknowledge`."""
        first = not message.acked
        message.acked = True
        self._unacked_messages.discard(message)
        return first

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        """Fetch from a copy of `active_partitions`, because Faust changes the set.

        Fetch nothing if the set is empty, because aiokafka would then fetch from all partitions.
        """
        async with self._position:
            wanted = set(active_partitions or ())
            limit = timeout if self.app.tables.actives_ready else _RECOVERY_SECONDS
            return await super()._getmany(wanted, limit) if wanted else {}

    async def _wait_next_records(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Return records; without partitions to fetch from, pause for 0.1 s, not for Faust's second: they are soon resumed."""
        if self.flow_active and not self._get_active_partitions():
            await self.sleep(_RECOVERY_SECONDS)
            return None, None
        found: tuple[Any, Any] = await super()._wait_next_records(*args, **kwargs)
        return found

    async def perform_seek(self) -> None:
        """Seek every partition to its committed offset while no fetch is in progress."""
        async with self._position:
            await super().perform_seek()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek each partition to its committed offset, or to its beginning if no offset is committed.

        The seek to the beginning is necessary, because a fetch may have moved the position. An offset past the end of a topic that was
        created again counts as not committed: Faust would ignore the records up to this offset.
        """
        offsets = await super().seek_to_committed()
        read = {tp: offset for tp, offset in offsets.items() if self.app.topics.acks_enabled_for(tp.topic)}
        for _ in range(_END_LOOKS):
            ends = await self._thread.highwaters(*read)
            fresh = {tp: 0 for tp, offset in read.items() if not offset or offset > ends[tp]}
            if not any(read[tp] for tp in fresh):
                break
            await asyncio.sleep(_END_SECONDS)
        if fresh:
            await self._thread.seek_to_beginning(*fresh)
        return {**offsets, **fresh}

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Seek changelogs to the offsets that recovery has read, while no fetch is in progress.

        Otherwise a fetch of an interrupted recovery could move the position after the seek, and the table would lack the fetched records.
        """
        async with self._position:
            await super().seek_wait(partitions)

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        """Stop fetching from `tps`."""
        paused = set(tps)
        self._waiting_for_flow -= paused
        super().pause_partitions(paused)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Fetch from `tps` after the next :meth:`resume_flow`, because Faust clears the queues until then."""
        self._waiting_for_flow.update(tps)

    def resume_flow(self) -> None:
        """Resume the delivery of messages, then the fetches that :meth:`resume_partitions` delayed."""
        resumed, self._waiting_for_flow = self._waiting_for_flow, set()
        super().resume_partitions(resumed)
        super().resume_flow()

    def _new_offset(self, tp: TP) -> int | None:
        return self.tracker.position(tp)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in self.tracker.partitions if topics is None or tp in topics or tp.topic in topics)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Store no gaps: the tracker needs none, and Faust's list of gaps grows without bound."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Fetch again from a partition whose queue was full, unless the partition is paused."""
        if tp not in self._paused_partitions:
            super().on_buffer_drop(tp)

    async def on_partitions_revoked(self, revoked: Iterable[TP]) -> None:
        """Forget the records in flight and the full queues; after the rebalance, these records are delivered again."""
        self.tracker.revoke(revoked)
        self._buffered_partitions.clear()
        await super().on_partitions_revoked(set(revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TP], generation_id: int = 0) -> None:
        """Begin a new generation in the tracker before the first message of the new assignment can arrive."""
        self.tracker.assign((TP(tp.topic, tp.partition) for tp in assigned), generation_id)
        await super().on_partitions_assigned(set(assigned), generation_id)


class Producer(driver.Producer):
    """A producer that waits for all in-sync replicas (`producer_acks` of the app).

    This producer is not idempotent: an idempotent producer can lose its sequence number permanently when a batch expires (aiokafka#1017). Weir allows
    duplicates, and aiokafka keeps one batch per partition in flight, which preserves the order.
    """

    async def send(self, topic: str, *args: Any, **kwargs: Any) -> Any:
        """Send, and keep the metadata of `topic` up to date from now on; raises aiokafka's errors instead of Faust's.

        aiokafka requests metadata of all topics until it meets an unknown topic (a new changelog), and then of this topic alone. Records for other
        topics would then lack metadata, and wait until their batch expires after 30 s.
        """
        try:
            self._ensure_producer().client.add_topic(topic)
            return await super().send(topic, *args, **kwargs)
        except NotReady as error:
            raise NodeNotReadyError(str(error)) from error
        except ProducerSendError as error:
            raise (error.__cause__ if isinstance(error.__cause__, KafkaError) else KafkaError(str(error))) from None


class Transport(driver.Transport):
    """The transport of every Weir app, set on ``app.transport`` and ``app.producer_transport``."""

    Consumer: ClassVar[Any] = Consumer
    Producer: ClassVar[Any] = Producer

    async def _create_topic(
        self, owner: Any, client: Any, topic: str, partitions: int, replication: int, **kwargs: Any
    ) -> None:
        """Create a changelog with the replication factor of the other topics (Faust would use a constant), and its configuration."""
        del replication
        brokers = len(client.cluster.brokers())
        config = {**(kwargs.pop("config", None) or {}), **CHANGELOG_CONFIG}
        await super()._create_topic(owner, client, topic, partitions, copies(brokers), config=config, **kwargs)
