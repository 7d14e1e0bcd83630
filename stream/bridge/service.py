"""The bridge's process: one reader of alerts, and one notifier for each Alertmanager and each webhook."""

import asyncio

import httpx
from prometheus_client import CollectorRegistry

from stream.bridge.alert_links import AlertLinks
from stream.bridge.alert_reader import AlertReader
from stream.bridge.alertmanager import AlertmanagerNotifier
from stream.bridge.alertmanager_notifications import Notifications
from stream.bridge.metrics import BridgeMetrics
from stream.bridge.notification_target import NotificationTarget
from stream.bridge.webhook import WebhookNotifier
from stream.certificates import trusted_certificates
from stream.proxies import proxy_options
from stream.settings import BridgeSettings, KafkaSettings

_TIMEOUT_SECONDS = 15.0
#: Time for posts in progress after `stop`: less than supervisord waits before it kills the process (10 s).
_STOP_SECONDS = 5.0
#: The longest pauses before retries, to an Alertmanager and to a webhook.
_ALERTMANAGER_SECONDS = 30.0
_WEBHOOK_SECONDS = 60.0


async def run_bridge(
    *,
    kafka: KafkaSettings,
    bridge: BridgeSettings,
    registry: CollectorRegistry,
    stop: asyncio.Event,
    health: dict[str, object],
) -> None:
    """Send notifications until `stop` is set; notifications that were not accepted are sent by the next bridge process.

    `kafka` must have an address. `health` contains {problem: reason} while Kafka or a target is unavailable. The
    name of each problem starts with ``waiting``, which means that a restart of the bridge does not help.
    """
    metrics = BridgeMetrics(registry)
    reader = AlertReader(kafka, metrics, health)
    links = AlertLinks(runbook=bridge.runbook_url, trace=bridge.trace_url)
    urls = [*bridge.alertmanagers, *(settings.url for settings in bridge.webhooks.values())]
    client = httpx.AsyncClient(
        headers={"accept-encoding": "identity"},
        timeout=_TIMEOUT_SECONDS,
        verify=trusted_certificates(),
        **proxy_options(urls),
    )
    async with client, asyncio.TaskGroup() as group:

        def target(kind: str, name: str, longest_seconds: float) -> NotificationTarget:
            return NotificationTarget(
                kind, name, client, longest_seconds=longest_seconds, metrics=metrics, health=health
            )

        tasks = [group.create_task(reader.run(stop))]
        for url in bridge.alertmanagers:
            manager = target("alertmanager", url.rstrip("/"), _ALERTMANAGER_SECONDS)
            notifications = Notifications(bridge.service, links, bridge.resend_seconds)
            notifier = AlertmanagerNotifier(url, manager, notifications, resend_seconds=bridge.resend_seconds)
            tasks.append(group.create_task(notifier.run(reader, stop)))
        for name, settings in bridge.webhooks.items():
            hook = target("webhook", name, _WEBHOOK_SECONDS)
            webhook = WebhookNotifier(name, settings, kafka, hook, links, metrics=metrics, health=health)
            tasks.append(group.create_task(webhook.run(reader, stop)))
        await stop.wait()
        await asyncio.wait(tasks, timeout=_STOP_SECONDS)
        for task in tasks:  # that wait for a receiver; the next bridge process sends their alerts again
            task.cancel()
