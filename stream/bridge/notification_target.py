"""Posts notifications to one target, and reports in health, log and metrics whether the target accepts them."""

import asyncio
import logging
import time
from typing import Any

import httpx

from stream.bridge.metrics import BridgeMetrics
from stream.certificates import CERTIFICATE_FIX, is_certificate_error
from stream.http_date import parse_http_date
from stream.pause import BackOff

_LOG = logging.getLogger(__name__)
_FIRST_SECONDS = 0.5
#: Time limit of a request. The client's limits are for each read: an answer of many parts without an end would stop the notifications.
_ANSWER_SECONDS = 30.0
#: Most bytes of an answer that are read.
_ANSWER_BYTES = 1024 * 1024
_SHOWN_BYTES = 200
#: A smaller difference of two clocks has no effect, because the time of an answer is only as exact as the duration of its request.
CLOCK_SECONDS = 30.0


class NotificationTarget:
    """An Alertmanager or a webhook. `health` contains the reason while the target is down or rejects messages.

    `clock_ahead` is the number of seconds by which the clock of the target is ahead of this machine's clock, from its last answer. It is negative if
    the target's clock is behind, and 0 if the difference is small.
    """

    def __init__(  # noqa: PLR0913 - the target, and where its state is shown
        self,
        kind: str,
        name: str,
        client: httpx.AsyncClient,
        *,
        longest_seconds: float,
        metrics: BridgeMetrics,
        health: dict[str, object],
    ) -> None:
        self._kind = kind
        self._name = name
        self._client = client
        self._metrics = metrics
        self._health = health
        self._waiting = f"waiting for {kind} {name}"
        self.back_off = BackOff(_FIRST_SECONDS, longest_seconds)
        self.clock_ahead = 0.0

    async def post(self, url: str, what: str, *, show_answer: bool = False, **request: Any) -> bool:
        """Post `request` and return whether the target accepted it. `what` names the request in the log.

        With `show_answer`, the logged reason includes the beginning of the target's error response.
        """
        reason = await self._post(url, request, show_answer=show_answer)
        self._metrics.posted(self._name, accepted_at=None if reason else time.time())
        if not reason:
            self._health.pop(self._waiting, None)
            return True
        if self._waiting not in self._health:
            _LOG.warning("%s %s did not accept %s: %s; the bridge retries", self._kind, self._name, what, reason)
        self._health[self._waiting] = reason
        return False

    async def _post(self, url: str, request: dict[str, Any], *, show_answer: bool) -> str:
        """Return the reason why the target did not accept a request, or "" if the target accepted it."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS), self._client.stream("POST", url, **request) as response:
                beginning = await _beginning(response)
        except (httpx.HTTPError, TimeoutError) as error:
            if is_certificate_error(error):
                return f"its certificate cannot be verified; {CERTIFICATE_FIX}"
            return f"it does not answer ({type(error).__name__})"
        self.clock_ahead = _clock_ahead(response.headers.get("date", ""), time.time())
        if response.is_success:
            return ""
        answer = beginning.decode(errors="replace").strip() if show_answer else ""
        return f"it answers {response.status_code}" + (f": {answer}" if answer else "")


async def _beginning(response: httpx.Response) -> bytes:
    """Read at most `_ANSWER_BYTES` of the answer, and return its first `_SHOWN_BYTES`; after a short answer, the connection can be used again.

    A compressed answer, which no request asks for, is not read, because a small one can have any size after decompression.
    """
    beginning, size = b"", 0
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        return beginning
    async for piece in response.aiter_bytes():
        beginning += piece[: _SHOWN_BYTES - len(beginning)]
        size += len(piece)
        if size > _ANSWER_BYTES:
            break
    return beginning


def _clock_ahead(date: str, now: float) -> float:
    """Return by how many seconds the HTTP `date` is after `now`; 0 if the difference is small or `date` is not a date."""
    ahead = (parse_http_date(date) or now) - now
    return ahead if abs(ahead) >= CLOCK_SECONDS else 0.0
