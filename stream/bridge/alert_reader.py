"""Reads ``weir.alerts`` from its beginning into a board, and follows it.

The topic is compacted, so that its beginning is the state: nothing is kept on disk. While Kafka is away the last board stands, since
what fired goes on firing; a log that was lost and begun anew gives a new board.
"""

import asyncio
import logging
from collections.abc import Iterable

from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.bridge.backoff import BackOff, pause
from stream.bridge.firing_alerts import Board
from stream.bridge.metrics import BridgeMetrics
from stream.kafka.clients import consumer_for
from stream.kafka.log_reader import READ_ERRORS, LogReader, partitions_of
from stream.kafka.topic_checks import partition_counts
from stream.settings import KafkaSettings
from stream.wire import WireError, decode

__all__ = ["BoardReader", "alert_partitions"]

_LOG = logging.getLogger(__name__)
_WAITING = "waiting for kafka"
_NO_TOPIC = "waiting for topics"


async def alert_partitions(kafka: KafkaSettings) -> list[TopicPartition]:
    """Return the partitions of the alerts topic, none while it does not exist."""
    topic = kafka.names.alerts
    return partitions_of(await partition_counts(kafka.client_options(), [topic]))


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
            except READ_ERRORS as error:
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
            ends = await consumer.end_offsets(partitions)
            reader = LogReader(consumer, await consumer.beginning_offsets(partitions))
            board = Board()
            while not stop.is_set():
                for records in (await reader.read()).values():
                    apply(board, records)
                if self.board is not board and reader.reached(ends):
                    self._begin(board)
                self._show(board)

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
