"""Posts notifications to one Alertmanager (``POST /api/v2/alerts``): after each change, and again at intervals."""

import asyncio
import time

from stream.address import Address
from stream.bridge.alert_reader import AlertReader
from stream.bridge.alertmanager_notifications import Notification, Notifications
from stream.bridge.notification_target import CLOCK_SECONDS, NotificationTarget
from stream.pause import pause

_POLL_SECONDS = 0.5
_CHUNK = 500


class AlertmanagerNotifier:
    """Posts the alerts to the Alertmanager at the base address `url`, after each change and every `resend_seconds`."""

    def __init__(
        self, url: Address, target: NotificationTarget, notifications: Notifications, *, resend_seconds: float
    ) -> None:
        self._url = f"{url.rstrip('/')}/api/v2/alerts"
        self._headers = url.headers
        self._target = target
        self._notifications = notifications
        self._resend_seconds = resend_seconds

    async def run(self, reader: AlertReader, stop: asyncio.Event) -> None:
        """Post until `stop` is set."""
        accepted: frozenset[object] = frozenset()
        resend_at = 0.0
        while not stop.is_set():
            wait = _POLL_SECONDS
            if reader.alerts is not None:
                due = self._notifications.due(reader.alerts, time.time())
                state = frozenset((item.labels, item.ends is None) for item in due)
                if state != accepted or (due and time.monotonic() >= resend_at):
                    if await self._post(due):
                        accepted, resend_at = state, time.monotonic() + self._resend_seconds
                        self._target.back_off.reset()
                    else:
                        wait = self._target.back_off.seconds()
            await pause(stop, wait)

    async def _post(self, due: list[Notification]) -> bool:
        """Post all notifications, with times by the clock of the Alertmanager, so that a firing alert is not sent as ended.

        Return whether all were accepted, and that clock is known. Posting a notification again has no effect.
        """
        ahead = self._target.clock_ahead
        payload = self._notifications.payload(due, time.time() + ahead)
        for first in range(0, len(payload), _CHUNK):
            chunk = payload[first : first + _CHUNK]
            if not await self._target.post(self._url, "alerts", show_answer=True, json=chunk, headers=self._headers):
                return False
        return abs(self._target.clock_ahead - ahead) < CLOCK_SECONDS
