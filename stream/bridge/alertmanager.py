"""Posts what is to be told to one Alertmanager: ``POST /api/v2/alerts``, at once on a change, else every so often."""

import asyncio
import logging
import time

import httpx

from stream.address import Address
from stream.bridge.alert_reader import BoardReader
from stream.bridge.backoff import BackOff, pause
from stream.bridge.metrics import BridgeMetrics
from stream.bridge.notification import Notice, Telling

__all__ = ["Poster"]

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5
_CHUNK = 500


class Poster:
    """The bridge's side of one Alertmanager.

    Parameters
    ----------
    url
        Its base address, ``http://host:9093``; what it asks for as a user and password is sent with each post.
    client
        Sends.
    telling
        What to say.
    resend_seconds
        Between two posts while nothing changes.
    metrics, health
        What is shown of it; `health` is told while it does not answer, as something that is waited for.
    """

    def __init__(  # noqa: PLR0913 - what it posts, to whom, and who hears of it
        self,
        url: Address,
        client: httpx.AsyncClient,
        telling: Telling,
        *,
        resend_seconds: float,
        metrics: BridgeMetrics,
        health: dict[str, object],
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = url.headers
        self._client = client
        self._telling = telling
        self._resend_seconds = resend_seconds
        self._metrics = metrics
        self._health = health
        self._waiting = f"waiting for alertmanager {self._url}"
        self._back_off = BackOff(0.5, 30.0)

    async def run(self, reader: BoardReader, stop: asyncio.Event) -> None:
        """Post until `stop` is set."""
        told: frozenset[object] = frozenset()
        due = 0.0
        while not stop.is_set():
            wait = _LOOK_SECONDS
            if reader.board is not None:
                notices = self._telling.due(reader.board, time.time())
                state = frozenset((notice.labels, notice.ends is None) for notice in notices)
                if state != told or (notices and time.monotonic() >= due):
                    if await self._post(notices):
                        told, due = state, time.monotonic() + self._resend_seconds
                        self._back_off.reset()
                    else:
                        wait = self._back_off.seconds()
            await pause(stop, wait)

    async def _post(self, notices: list[Notice]) -> bool:
        """Post all; tell whether all were taken. A repetition costs nothing, so that a half is sent again as a whole."""
        payload = self._telling.payload(notices, time.time())
        for first in range(0, len(payload), _CHUNK):
            reason = await self._send(payload[first : first + _CHUNK])
            self._metrics.sent(self._url, moment=None if reason else time.time())
            if reason:
                if self._waiting not in self._health:
                    _LOG.warning("alertmanager %s took no alerts: %s; trying on", self._url, reason)
                self._health[self._waiting] = reason
                return False
        self._health.pop(self._waiting, None)
        return True

    async def _send(self, alerts: list[dict[str, object]]) -> str:
        """Send; return what went wrong, "" where nothing did."""
        try:
            response = await self._client.post(f"{self._url}/api/v2/alerts", json=alerts, headers=self._headers)
        except httpx.HTTPError as error:
            return f"it does not answer ({type(error).__name__})"
        return "" if response.is_success else f"it answers {response.status_code}: {response.text[:200]}"
