"""Reads ``weir.alerts`` from its beginning, and then each new record.

The topic is compacted, so it contains the state of all alerts and the bridge stores nothing on disk. While Kafka is
unavailable, the known alerts continue to fire. If the topic is recreated, the bridge reads the alerts again.
"""

import asyncio
import logging
from collections.abc import Iterable

from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.bridge.firing_alerts import FiringAlerts
from stream.bridge.metrics import BridgeMetrics
from stream.errors import kafka_problem
from stream.kafka.clients import consumer_for
from stream.kafka.log_reader import READ_ERRORS, LogReader, partitions_of
from stream.kafka.topic_checks import partition_counts
from stream.pause import pause
from stream.settings import KafkaSettings
from stream.wire import WireError, decode

_LOG = logging.getLogger(__name__)
_WAITING = "waiting for kafka"
_NO_TOPIC = "waiting for topics"
_RETRY_SECONDS = 1.0


async def alert_partitions(kafka: KafkaSettings) -> list[TopicPartition]:
    """Return the partitions of the alerts topic, or an empty list if the topic does not exist."""
    topic = kafka.names.alerts
    return partitions_of(await partition_counts(kafka.client_options(), [topic]))


class AlertReader:
    """Updates `alerts` with each new record; `alerts` is None until the topic has been read to its end once."""

    def __init__(self, kafka: KafkaSettings, metrics: BridgeMetrics, health: dict[str, object]) -> None:
        self._kafka = kafka
        self._metrics = metrics
        self._health = health
        self.alerts: FiringAlerts | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Read the topic until `stop` is set; wait while Kafka is unavailable."""
        while not stop.is_set():
            try:
                await self._session(stop)
            except READ_ERRORS as error:
                self._wait_for_kafka(error)
                await pause(stop, _RETRY_SECONDS)

    def _wait_for_kafka(self, error: BaseException) -> None:
        reason = f"{kafka_problem(self._kafka.bootstrap_servers, error)}; known alerts continue to fire"
        if self._health.get(_WAITING) != reason:
            _LOG.warning("%s", reason)
        self._health[_WAITING] = reason
        self._metrics.caught_up.set(0)

    async def _session(self, stop: asyncio.Event) -> None:
        partitions = await alert_partitions(self._kafka)
        if not partitions:
            self._health[_NO_TOPIC] = f"{self._kafka.names.alerts} does not exist; run `weir topics create`"
            await pause(stop, _RETRY_SECONDS)
            return
        self._health.pop(_NO_TOPIC, None)
        async with consumer_for(self._kafka.client_options()) as consumer:
            ends = await consumer.end_offsets(partitions)
            reader = LogReader(consumer, await consumer.beginning_offsets(partitions))
            alerts = FiringAlerts()
            while not stop.is_set():
                for records in (await reader.read()).values():
                    apply(alerts, records)
                if self.alerts is not alerts and reader.reached(ends):
                    self._caught_up(alerts)
                self._show(alerts)

    def _caught_up(self, alerts: FiringAlerts) -> None:
        self.alerts = alerts
        self._health.pop(_WAITING, None)
        self._metrics.caught_up.set(1)

    def _show(self, alerts: FiringAlerts) -> None:
        if self.alerts is alerts:
            self._metrics.firing.set(len(alerts.firing()))
            self._metrics.dropped.set(alerts.dropped)


def apply(alerts: FiringAlerts, records: Iterable[ConsumerRecord]) -> None:
    """Update `alerts` with `records`; skip unreadable records and tombstones."""
    for record in records:
        if record.value is None:
            continue
        try:
            alerts.apply(decode(record.value, record.headers).data)
        except WireError as error:
            _LOG.warning("%s/%d at %d is skipped: %s", record.topic, record.partition, record.offset, error)
