"""Delivers alerts to one webhook: at least once, in the order of each partition, with the offset committed after the receiver took it.

A receiver that is away, or answers anything but 2xx, is asked again for ever, later and later: its alerts wait in the log. Each webhook
has a consumer group of its own, which keeps nothing but offsets, so that none waits for another.
"""

import asyncio
import logging
import time

import httpx
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.bridge.alert_reader import BoardReader, alert_partitions
from stream.bridge.backoff import BackOff, pause
from stream.bridge.metrics import BridgeMetrics
from stream.bridge.webhook_filter import News, message_id
from stream.bridge.webhook_offsets import Offsets
from stream.kafka.clients import consumer_for
from stream.kafka.log_reader import READ_ERRORS, LogReader
from stream.settings import KafkaSettings, WebhookSettings
from stream.webhook_signature import secret_bytes, sign
from stream.wire import AlertRecord, WireError, decode

__all__ = ["Webhook", "group_of"]

_LOG = logging.getLogger(__name__)
_MAX_RECORDS = 100


def group_of(kafka: KafkaSettings, name: str) -> str:
    """Return the consumer group that keeps the offsets of webhook `name`."""
    return f"{kafka.names.prefix}bridge.webhook.{name}"


class Webhook:
    """The bridge's side of one webhook.

    Parameters
    ----------
    name, settings
        As ``[bridge.webhooks.NAME]`` has them.
    kafka
        Settings with an address.
    client
        Sends.
    news
        Decides what is told.
    metrics, health
        What is shown of it.
    """

    def __init__(  # noqa: PLR0913 - what it delivers, from where, to whom, and who hears of it
        self,
        name: str,
        settings: WebhookSettings,
        kafka: KafkaSettings,
        client: httpx.AsyncClient,
        news: News,
        *,
        metrics: BridgeMetrics,
        health: dict[str, object],
    ) -> None:
        self._name = name
        self._url = settings.url
        self._key = secret_bytes(settings.secret.get_secret_value())
        self._kafka = kafka
        self._client = client
        self._news = news
        self._metrics = metrics
        self._health = health
        self._waiting = f"waiting for webhook {name}"
        self._kafka_away = f"waiting for Kafka, to tell webhook {name}"
        self._back_off = BackOff(0.5, 60.0)

    async def run(self, reader: BoardReader, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set. Begins when `reader` knows the silences; the first time, with what comes from then on."""
        while not stop.is_set():
            if reader.board is None:
                await pause(stop, 0.2)
                continue
            try:
                await self._session(reader, stop)
            except READ_ERRORS as error:
                self._metrics.reading.labels(self._name).set(0)
                self._health[self._kafka_away] = f"{type(error).__name__}; is it up, and may this user use the group?"
                _LOG.info("webhook %s: Kafka does not answer (%s); trying on", self._name, type(error).__name__)
                await pause(stop, 1.0)

    async def _session(self, reader: BoardReader, stop: asyncio.Event) -> None:
        partitions = await alert_partitions(self._kafka)
        async with consumer_for(self._kafka.client_options(), group_id=group_of(self._kafka, self._name)) as consumer:
            consumer.assign(partitions)
            offsets = Offsets(self._name, consumer, partitions, self._metrics.missed.labels(self._name))
            log = LogReader(consumer, await offsets.begin(), max_records=_MAX_RECORDS)
            self._metrics.reading.labels(self._name).set(1)
            self._health.pop(self._kafka_away, None)
            while not stop.is_set():
                for partition, records in (await log.read()).items():
                    if not await self._deliver(offsets, partition, records, reader, stop):
                        return
                await offsets.keep()

    async def _deliver(
        self,
        offsets: Offsets,
        partition: TopicPartition,
        records: list[ConsumerRecord],
        reader: BoardReader,
        stop: asyncio.Event,
    ) -> bool:
        """Deliver a batch and commit behind each message that was taken; return False where `stop` came before its end."""
        for record in records:
            alert = _alert(record)
            assert reader.board is not None
            if alert is None or not self._news.is_news(alert, reader.board.silences):
                offsets.passed(partition, record.offset)
                continue
            if not await self._tell(alert, offsets, stop):
                return False
            self._news.told(alert)
            await offsets.told(partition, record.offset)
        await offsets.told(partition, records[-1].offset)
        return True

    async def _tell(self, alert: AlertRecord, offsets: Offsets, stop: asyncio.Event) -> bool:
        """Send until it is taken, or `stop` is set; tell whether it was taken."""
        body, identity = self._news.body(alert), message_id(alert)
        while not stop.is_set():
            reason = await self._send(identity, body)
            self._metrics.sent(self._name, moment=None if reason else time.time())
            if not reason:
                self._health.pop(self._waiting, None)
                self._back_off.reset()
                return True
            if self._waiting not in self._health:
                _LOG.warning("webhook %s did not take %s: %s; trying on", self._name, identity, reason)
            self._health[self._waiting] = reason
            await offsets.keep()
            await pause(stop, self._back_off.seconds())
        return False

    async def _send(self, identity: str, body: bytes) -> str:
        signed = sign(self._key, identity, int(time.time()), body)
        headers = {"content-type": "application/json"} | self._url.headers | signed
        try:
            response = await self._client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as error:
            return f"it does not answer ({type(error).__name__})"
        return "" if response.is_success else f"it answers {response.status_code}"


def _alert(record: ConsumerRecord) -> AlertRecord | None:
    """Return the alert of `record`, None where it is something else; what cannot be read was told by the reader."""
    if record.value is None:
        return None
    try:
        data = decode(record.value, record.headers).data
    except WireError:
        return None
    return data if isinstance(data, AlertRecord) else None
