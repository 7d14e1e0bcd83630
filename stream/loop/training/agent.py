"""The trainer: reads ``weir.retraining``, works on one request at a time, and publishes its states and versions.

Its state is a function of the log: a trainer reads its partitions from their beginning and commits nothing. The consumer group assigns each (tenant,
model) to one trainer. A trainer that died frees its request when its lease ends, and the next trainer continues with ``epoch + 1`` from the
checkpoints.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Collection

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.structs import TopicPartition
from prometheus_client import CollectorRegistry

from stream.errors import kafka_problem, no_kafka
from stream.kafka.clients import BROKER_ERRORS, consumer_for, producer_for
from stream.kafka.publisher import publish
from stream.loop.training.machine import TrainerMachine, Work
from stream.loop.training.metrics import TrainerMetrics
from stream.loop.training.run import Publish, Run, TrainerSetup
from stream.runtime.membership import Membership, member_id
from stream.settings import KafkaSettings
from stream.wire import Event, ModelRecord, RetrainingRecord, partition_for, readable, tenant_model_key

_LOG = logging.getLogger(__name__)
_WAITING = "waiting for kafka"
_POLL_MS = 500
_PAUSE_SECONDS = 1.0


async def run_trainer(
    *,
    kafka: KafkaSettings,
    setup: TrainerSetup,
    registry: CollectorRegistry,
    stop: asyncio.Event,
    health: dict[str, object],
) -> None:
    """Train until `stop` is set; then the present run writes a checkpoint, and the next trainer continues it.

    While Kafka is unavailable, the present run continues, and `health` contains the reason.
    """
    membership = Membership(setup.home / "data" / "trainer", f"{kafka.topic_prefix}trainer")
    trainer = _Trainer(kafka, setup, membership, TrainerMetrics(registry))
    try:
        while not stop.is_set():
            try:
                await trainer.session(stop, health)
            except BROKER_ERRORS as error:
                reason = kafka_problem(kafka.bootstrap_servers, error)
                if health.get(_WAITING) != reason:
                    _LOG.warning("%s", reason)
                health[_WAITING] = reason
                await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        await trainer.cancel()
        membership.close()


def publisher_for(kafka: KafkaSettings, attempts: int = 0) -> Publish:
    """Return a function that publishes an event of the trainer, and retries while the broker is away.

    The function raises BrokerError after `attempts` attempts; 0 means that it retries without limit.
    """
    options = kafka.client_options()

    async def send(event: Event) -> None:
        data = event.data
        assert isinstance(data, ModelRecord | RetrainingRecord)
        partition = partition_for(tenant_model_key(data.tenant, data.model), kafka.stream_partitions)
        topic = kafka.names.retraining if isinstance(data, RetrainingRecord) else kafka.names.models
        for attempt in itertools.count(1):
            try:
                async with producer_for(options) as producer:
                    await publish(producer, topic, event, partition=partition)
            except BROKER_ERRORS as error:
                if attempt == attempts:
                    raise no_kafka(kafka.bootstrap_servers, error) from error
                _LOG.warning("no acknowledgement from %s-%d (%s); retrying", topic, partition, type(error).__name__)
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return

    return send


class _Trainer:
    """The requests of the assigned partitions, and the present run."""

    def __init__(
        self, kafka: KafkaSettings, setup: TrainerSetup, membership: Membership, metrics: TrainerMetrics
    ) -> None:
        self._kafka, self._setup, self._membership, self._metrics = kafka, setup, membership, metrics
        self._publish = publisher_for(kafka)
        self._machine = TrainerMachine(setup.settings)
        self._run: Run | None = None
        self._task: asyncio.Task[str] | None = None

    async def session(self, stop: asyncio.Event, health: dict[str, object]) -> None:
        """Read and work until `stop` is set; raises a broker error if Kafka does not answer."""
        options, topic = self._kafka.client_options(), self._kafka.names.retraining
        await self._membership.remove_predecessor(options)
        async with consumer_for(options, group_id=self._membership.group, auto_offset_reset="earliest") as consumer:
            assigned = _Assigned(self._forget)
            consumer.subscribe([topic], listener=assigned)
            while not stop.is_set():
                read = await consumer.getmany(timeout_ms=_POLL_MS)
                for records in read.values():
                    for record in records:
                        event = readable(record.value, record.headers)
                        if event is not None and isinstance(event.data, RetrainingRecord):
                            self._machine.apply(event.data, event.traceparent)
                health.pop(_WAITING, None)
                self._membership.keep(member_id(consumer))
                await self._step(consumer, assigned.partitions)

    def _forget(self) -> None:
        self._machine = TrainerMachine(self._setup.settings)

    async def _step(self, consumer: AIOKafkaConsumer, partitions: set[TopicPartition]) -> None:
        if not partitions or not await _caught_up(consumer, partitions):
            return
        if self._task is not None and self._task.done():
            self._task.result()
            self._run = self._task = None
            return  # its last record may not be read yet
        if self._run is not None and self._lost(self._run.work, partitions):
            _LOG.warning("retraining %s was rejected, or another trainer owns it", self._run.work.request.retraining_id)
            await self.cancel(releases=not self._machine.must_end(self._run.work))
        if self._run is None and (work := self._machine.next(time.time())) is not None:
            _LOG.info("retraining %s, epoch %d", work.request.retraining_id, work.epoch)
            self._run = Run(self._setup, work, self._publish, self._metrics)
            self._task = self._run.start()

    def _lost(self, work: Work, partitions: set[TopicPartition]) -> bool:
        request = work.request
        partition = partition_for(tenant_model_key(request.tenant, request.model), self._kafka.stream_partitions)
        mine = any(assigned.partition == partition for assigned in partitions)
        return not mine or self._machine.must_end(work)

    async def cancel(self, *, releases: bool = True) -> None:
        """End the present run; `releases` is that of :meth:`stream.loop.training.run.Run.end`."""
        if self._run is not None:
            await self._run.end(releases=releases)
        self._run = self._task = None


class _Assigned(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka has no types
    """The assigned partitions; `forget` is called at each assignment, because all of them are read from their beginning."""

    def __init__(self, forget: Callable[[], None]) -> None:
        self._forget = forget
        self.partitions: set[TopicPartition] = set()

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Stop deciding until the next assignment."""
        del revoked
        self.partitions = set()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Read the new partitions from their beginning."""
        self._forget()
        self.partitions = set(assigned)


async def _caught_up(consumer: AIOKafkaConsumer, partitions: set[TopicPartition]) -> bool:
    ends = await consumer.end_offsets(list(partitions))
    for partition, end in ends.items():
        if await consumer.position(partition) < end:
            return False
    return True
