"""Reads ``weir.alerts`` from its beginning into a board, and follows it.

The topic is compacted, so that its beginning is the state: nothing is kept on disk. While Kafka is away the last board stands, since
what fired goes on firing; a log that was lost and begun anew gives a new board.
"""

import asyncio
import logging
import time
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.bridge.backoff import BackOff, pause
from stream.bridge.firing_alerts import Board
from stream.bridge.metrics import BridgeMetrics
from stream.kafka.clients import BROKER_ERRORS, consumer_for
from stream.kafka.topic_checks import partition_counts
from stream.settings import KafkaSettings
from stream.wire import WireError, decode

__all__ = ["BoardReader", "alert_partitions"]

_LOG = logging.getLogger(__name__)
_POLL_MS = 500
_PROBE_SECONDS = 5.0
_PROBE_TIMEOUT_SECONDS = 10.0
_STALLED_SECONDS = 30.0
_WAITING = "waiting for kafka"
_NO_TOPIC = "waiting for topics"


class _Stalled(Exception):
    pass


async def alert_partitions(kafka: KafkaSettings) -> list[TopicPartition]:
    """Return the partitions of the alerts topic, none while it does not exist."""
    topic = kafka.names.alerts
    count = (await partition_counts(kafka.client_options(), [topic])).get(topic, 0)
    return [TopicPartition(topic, index) for index in range(count)]


class BoardReader:
    """The one reader of what fires.

    Parameters
    ----------
    kafka
        Settings with an address.
    metrics, health
        What is shown of it; `health` is told what it waits for.
    """

    def __init__(self, kafka: KafkaSettings, metrics: BridgeMetrics, health: dict[str, object]) -> None:
        self._kafka = kafka
        self._metrics = metrics
        self._health = health
        self._back_off = BackOff(0.5, 10.0)
        self.board: Board | None = None
        self.ready = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the log until `stop` is set; Kafka's absence is waited for."""
        while not stop.is_set():
            try:
                await self._session(stop)
            except (_Stalled, *BROKER_ERRORS) as error:
                self._wait_for_kafka(error)
                await pause(stop, self._back_off.seconds())

    def _wait_for_kafka(self, error: BaseException) -> None:
        reason = f"{self._kafka.bootstrap_servers} does not answer ({type(error).__name__}); what fired is told on"
        if self._health.get(_WAITING) != reason:
            _LOG.warning("kafka: %s", reason)
        self._health[_WAITING] = reason
        self._metrics.caught_up.set(0)

    async def _session(self, stop: asyncio.Event) -> None:
        partitions = await alert_partitions(self._kafka)
        if not partitions:
            self._health[_NO_TOPIC] = f"{self._kafka.names.alerts} does not exist; run `weir topics create`"
            await pause(stop, 1.0)
            return
        self._health.pop(_NO_TOPIC, None)
        async with consumer_for(self._kafka.client_options()) as consumer:
            consumer.assign(partitions)
            for partition, offset in (await consumer.beginning_offsets(partitions)).items():
                consumer.seek(partition, offset)
            await self._follow(consumer, partitions, stop)

    async def _follow(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition], stop: asyncio.Event) -> None:
        board = Board()
        ends = await consumer.end_offsets(partitions)
        probed = moved = time.monotonic()
        while not stop.is_set():
            batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=1000)
            apply(board, (record for records in batches.values() for record in records))
            now = time.monotonic()
            if batches:
                moved = now
            if self.board is not board and await _reached(consumer, ends):
                self._begin(board)
            self._show(board)
            if now - probed > _PROBE_SECONDS:
                probed = now
                ends = await asyncio.wait_for(consumer.end_offsets(partitions), _PROBE_TIMEOUT_SECONDS)
                if await _reached(consumer, ends):
                    moved = now
                elif now - moved > _STALLED_SECONDS:
                    raise _Stalled

    def _begin(self, board: Board) -> None:
        """Take `board` for what fires: it has come to where the log ended."""
        self.board = board
        self.ready.set()
        self._back_off.reset()
        self._health.pop(_WAITING, None)
        self._metrics.caught_up.set(1)

    def _show(self, board: Board) -> None:
        if self.board is board:
            self._metrics.firing.set(len(list(board.firing())))
            self._metrics.dropped.set(board.dropped)


def apply(board: Board, records: Iterable[ConsumerRecord]) -> None:
    """Apply what can be read; a tombstone, or what is no event, says nothing of an alert."""
    for record in records:
        if record.value is None:
            continue
        try:
            board.apply(decode(record.value, record.headers).data)
        except WireError as error:
            _LOG.warning("%s/%d at %d is skipped: %s", record.topic, record.partition, record.offset, error)


async def _reached(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    for partition, end in ends.items():
        if await consumer.position(partition) < end:
            return False
    return True
