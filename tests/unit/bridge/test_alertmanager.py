"""The posts to an Alertmanager whose clock differs from that of the bridge's machine."""

import asyncio
import json
import time
from email.utils import formatdate
from types import SimpleNamespace

import httpx
import pytest
from prometheus_client import CollectorRegistry
from support.alert_records import alert, now, resolved

from stream.address import Address
from stream.bridge.alert_links import AlertLinks
from stream.bridge.alertmanager import AlertmanagerNotifier
from stream.bridge.alertmanager_notifications import Notifications
from stream.bridge.firing_alerts import FiringAlerts
from stream.bridge.metrics import BridgeMetrics
from stream.bridge.notification_target import NotificationTarget
from stream.wire import parse_time

URL = Address("http://alertmanager")


async def posted(records, clock_ahead, posts):
    """Return the first `posts` posts of an alert to an Alertmanager, each as the seconds from its clock to the alert's end."""
    alerts, stop, ends = FiringAlerts(), asyncio.Event(), []
    for record in records:
        alerts.apply(record)

    def answer(request: httpx.Request) -> httpx.Response:
        clock = time.time() + clock_ahead
        (body,) = json.loads(request.content)
        ends.append(parse_time(body["endsAt"]) - clock)
        if len(ends) == posts:
            stop.set()
        return httpx.Response(200, headers={"date": formatdate(clock, usegmt=True)})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        metrics = BridgeMetrics(CollectorRegistry())
        target = NotificationTarget("alertmanager", URL, client, longest_seconds=1.0, metrics=metrics, health={})
        notifications = Notifications("weir", AlertLinks(), 60.0)
        notifier = AlertmanagerNotifier(URL, target, notifications, resend_seconds=60.0)
        await asyncio.wait_for(notifier.run(SimpleNamespace(alerts=alerts), stop), 20)
    return ends


@pytest.mark.parametrize("clock_ahead", [240.0, -240.0])
async def test_a_firing_alert_fires_at_an_alertmanager_with_another_clock(clock_ahead):
    first, second = await posted([alert(**now())], clock_ahead, posts=2)
    assert first == pytest.approx(240 - clock_ahead, abs=5), "the clock is not known yet"
    assert second == pytest.approx(240, abs=5), "posted again at once, with the times of that clock"


async def test_an_ended_alert_has_ended_at_an_alertmanager_whose_clock_is_behind():
    records = [alert(**now()), resolved(**now(resolved_at=time.time()))]
    first, second = await posted(records, -240.0, posts=2)
    assert first == pytest.approx(240, abs=5), "the clock is not known yet"
    assert second <= 0


@pytest.mark.parametrize("date", ["soon", f"Mon, {'9' * 20} Jan 2026 00:00:00 GMT", "Mon, 01 Jan 2026 00:00:00 +9999"])
async def test_an_answer_whose_date_is_no_date_is_accepted(date):
    """An exception would end the bridge, and so the notifications of all other targets."""
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, headers={"date": date}))
    async with httpx.AsyncClient(transport=transport) as client:
        metrics = BridgeMetrics(CollectorRegistry())
        target = NotificationTarget("webhook", "pager", client, longest_seconds=1.0, metrics=metrics, health={})
        assert await target.post(URL, "message")
    assert target.clock_ahead == 0.0
