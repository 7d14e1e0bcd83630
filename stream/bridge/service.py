"""The bridge's process: one reader of what fires, a poster for each Alertmanager, a delivery for each webhook."""

import asyncio

import httpx
from prometheus_client import CollectorRegistry

from stream.bridge.alert_reader import BoardReader
from stream.bridge.alertmanager import Poster
from stream.bridge.metrics import BridgeMetrics
from stream.bridge.notification import Links, Telling
from stream.bridge.webhook import Webhook
from stream.bridge.webhook_filter import News
from stream.settings import BridgeSettings, KafkaSettings

__all__ = ["run_bridge"]

_TIMEOUT_SECONDS = 15.0


async def run_bridge(
    *,
    kafka: KafkaSettings,
    bridge: BridgeSettings,
    registry: CollectorRegistry,
    stop: asyncio.Event,
    health: dict[str, object],
) -> None:
    """Tell alerts until `stop` is set.

    Parameters
    ----------
    kafka, bridge
        Settings; `kafka` has an address.
    registry
        For metrics.
    stop
        Set to end. What was not taken by then is told by the next bridge.
    health
        Filled with reasons while Kafka or a target is away; all begin with ``waiting``, since no restart helps.
    """
    metrics = BridgeMetrics(registry)
    reader = BoardReader(kafka, metrics, health)
    links = Links(runbook=bridge.runbook_url, trace=bridge.trace_url)
    async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS) as client, asyncio.TaskGroup() as tasks:
        tasks.create_task(reader.run(stop))
        for url in bridge.alertmanagers:
            telling = Telling(bridge.service, links, bridge.resend_seconds)
            poster = Poster(url, client, telling, resend_seconds=bridge.resend_seconds, metrics=metrics, health=health)
            tasks.create_task(poster.run(reader, stop))
        for name, settings in bridge.webhooks.items():
            webhook = Webhook(name, settings, kafka, client, News(settings, links), metrics=metrics, health=health)
            tasks.create_task(webhook.run(reader, stop))
