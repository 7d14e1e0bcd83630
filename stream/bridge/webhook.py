"""Delivers alerts to one webhook at least once, ordered per partition; commits the offset of each accepted alert.

If a receiver is unavailable or its response status is not 2xx, the bridge retries without end, at growing intervals; the alerts
wait in the log. Each webhook has its own consumer group, used only for offsets, so no webhook waits for another.
"""

import asyncio
import logging
import time

import msgspec
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.bridge.alert_links import AlertLinks
from stream.bridge.alert_reader import AlertReader, alert_partitions
from stream.bridge.metrics import BridgeMetrics
from stream.bridge.notification_target import NotificationTarget
from stream.bridge.webhook_filter import WebhookFilter, message_id
from stream.bridge.webhook_offsets import WebhookOffsets
from stream.errors import kafka_problem
from stream.kafka.clients import consumer_for
from stream.kafka.log_reader import READ_ERRORS, LogReader
from stream.pause import pause
from stream.settings import KafkaSettings, WebhookSettings
from stream.webhook_signature import secret_bytes, sign
from stream.wire import AlertRecord, format_time, readable

_LOG = logging.getLogger(__name__)
_MAX_RECORDS = 100


def group_of(kafka: KafkaSettings, name: str) -> str:
    """Return the consumer group with the offsets of webhook `name`."""
    return f"{kafka.names.prefix}bridge.webhook.{name}"


class WebhookNotifier:
    """Sends alerts to the webhook ``[bridge.webhooks.NAME]``."""

    def __init__(  # noqa: PLR0913 - the log, the webhook, and where the state is shown
        self,
        name: str,
        settings: WebhookSettings,
        kafka: KafkaSettings,
        target: NotificationTarget,
        links: AlertLinks,
        *,
        metrics: BridgeMetrics,
        health: dict[str, object],
    ) -> None:
        self._name = name
        self._url = settings.url
        self._key = secret_bytes(settings.secret.get_secret_value())
        self._kafka = kafka
        self._target = target
        self._links = links
        self._filter = WebhookFilter(settings)
        self._metrics = metrics
        self._health = health
        self._waiting = f"waiting for kafka (webhook {name})"

    async def run(self, reader: AlertReader, stop: asyncio.Event) -> None:
        """Wait until `reader` has read all silences, then deliver alerts until `stop` is set.

        A new webhook receives only alert records that are published after its first start.
        """
        while not stop.is_set():
            if reader.alerts is None:
                await pause(stop, 0.2)
                continue
            try:
                await self._session(reader, stop)
            except READ_ERRORS as error:
                self._metrics.reading.labels(self._name).set(0)
                problem = kafka_problem(self._kafka.bootstrap_servers, error)
                if self._health.get(self._waiting) != problem:
                    _LOG.warning("webhook %s: %s; the bridge retries", self._name, problem)
                self._health[self._waiting] = problem
                await pause(stop, 1.0)

    async def _session(self, reader: AlertReader, stop: asyncio.Event) -> None:
        partitions = await alert_partitions(self._kafka)
        if not partitions:  # the topic was deleted; `weir topics create` creates it again
            await pause(stop, 1.0)
            return
        async with consumer_for(self._kafka.client_options(), group_id=group_of(self._kafka, self._name)) as consumer:
            consumer.assign(partitions)
            offsets = WebhookOffsets(self._name, consumer, partitions, self._metrics.missed.labels(self._name))
            log = LogReader(consumer, await offsets.start(), max_records=_MAX_RECORDS)
            self._metrics.reading.labels(self._name).set(1)
            self._health.pop(self._waiting, None)
            while not stop.is_set():
                for partition, records in (await log.read()).items():
                    if not await self._deliver(offsets, partition, records, reader, stop):
                        return
                await offsets.keep()

    async def _deliver(
        self,
        offsets: WebhookOffsets,
        partition: TopicPartition,
        records: list[ConsumerRecord],
        reader: AlertReader,
        stop: asyncio.Event,
    ) -> bool:
        """Deliver a batch and commit after each accepted message; return False if `stop` interrupted the delivery."""
        for record in records:
            alert = _alert(record)
            assert reader.alerts is not None
            if alert is None or not self._filter.selects(alert, reader.alerts.silences):
                offsets.skipped(partition, record.offset)
                continue
            if not await self._notify(alert, offsets, stop):
                return False
            self._filter.delivered(alert)
            await offsets.delivered(partition, record.offset)
        await offsets.delivered(partition, records[-1].offset)
        return True

    async def _notify(self, alert: AlertRecord, offsets: WebhookOffsets, stop: asyncio.Event) -> bool:
        """Send the alert until the receiver accepts it or `stop` is set; return whether the receiver accepted it."""
        body, identity = payload(alert, self._links), message_id(alert)
        while not stop.is_set():
            signature = sign(self._key, identity, int(time.time()), body)
            headers = {"content-type": "application/json"} | self._url.headers | signature
            if await self._target.post(self._url, identity, content=body, headers=headers):
                self._target.back_off.reset()
                return True
            await offsets.keep()
            await pause(stop, self._target.back_off.seconds())
        return False


def _alert(record: ConsumerRecord) -> AlertRecord | None:
    """Return the alert in `record`, or None for any other record; :class:`AlertReader` logs unreadable records."""
    event = readable(record.value, record.headers)
    return event.data if event is not None and isinstance(event.data, AlertRecord) else None


def payload(alert: AlertRecord, links: AlertLinks) -> bytes:
    """Return ``type``, ``timestamp`` and ``data``: all fields of the alert, as `weir alerts --json` has them, and its links."""
    data = msgspec.structs.asdict(alert)  # to_builtins omits fields with their default value
    addresses = {"runbook_url": links.runbook_of(alert), "trace_url": links.trace_of(alert)}
    return msgspec.json.encode(
        {"type": f"weir.alert.{alert.state}", "timestamp": format_time(alert.at), "data": data | addresses}
    )
