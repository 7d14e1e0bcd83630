"""``GET /api/live``: server-sent events with the state of the page's live parts.

At most twice a second, a client gets the differences from the last state that it got, with at most 100 requests and 100 alerts. There is no
queue of events: the next state is built after the last state was sent, so a slow page has no backlog.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from stream.ledger.decisions import Heartbeat
from stream.ledger.queries.console_queries import LedgerPages, LiveUpdate
from stream.ledger.queries.request_pages import RequestRow
from weir.console.json_http import json_response
from weir.operate.status import HEARTBEAT_SECONDS, coverage_status

_EVERY_SECONDS = 0.5
_COVERAGE_SECONDS = 5.0
#: After this time without a change, a client gets an empty state: the page shows since when it has received nothing.
_PING_SECONDS = 5.0
#: After this time, the page connects again, which needs a valid session.
_LONGEST_SECONDS = 3_600.0
_REQUESTS = 100
_MAX_CLIENTS = 16
#: Larger than every sequence number, so that a new client gets no old changes.
_NO_CHANGES = 2**62
_COVERAGE_FIELDS = ("ratio", "requests", "owed", "missing", "errors", "pending")


class _Client:
    """The state that was last sent to one client."""

    def __init__(self) -> None:
        self.born = ""
        self.seq = _NO_CHANGES
        self.rows: dict[str, RequestRow] = {}
        self.rest: dict[str, Any] = {}
        self.at = 0.0


class _Stream(StreamingResponse):
    """Closes its events at its end; without this, those of a client that is sent a state stay until the next garbage collection."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"cache-control": "no-store"})
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            await super().__call__(scope, receive, send)


class LiveEndpoint:
    """The endpoint and its connected clients."""

    def __init__(self, pages: LedgerPages) -> None:
        self._pages = pages
        self._clients = 0
        self._coverage: tuple[float, Any] = (0.0, None)

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("/api/live", self.live)]

    async def live(self, _request: Request) -> Response:
        """Respond with a stream of ``state`` events."""
        if self._clients >= _MAX_CLIENTS:
            message = f"{_MAX_CLIENTS} pages are connected, the maximum; close one"
            return json_response({"error": message}, 503)
        return _Stream(self._events())

    async def _events(self) -> AsyncGenerator[bytes, None]:
        self._clients += 1
        client = _Client()
        ends = time.monotonic() + _LONGEST_SECONDS
        try:
            yield b"retry: 2000\n\n"
            while (began := time.monotonic()) < ends:
                state = await asyncio.to_thread(self._state, client)
                if state or began - client.at > _PING_SECONDS:
                    client.at = began
                    yield b"event: state\ndata: " + msgspec.json.encode(state) + b"\n\n"
                await asyncio.sleep(max(_EVERY_SECONDS - (time.monotonic() - began), 0.05))
        finally:
            self._clients -= 1

    def _state(self, client: _Client) -> dict[str, Any]:
        """Return the differences from the client's last state, and store the new state in `client`."""
        beat = self._pages.heartbeat()
        event_time = beat.log_time if beat is not None else 0.0
        update = self._pages.live_update(seq=client.seq, now=time.time(), log_time=event_time, limit=_REQUESTS)
        if update is None:
            return _differences(client, {"ledger": None})
        changed = [row for row in update.requests if client.rows.get(row.request_id) != row]
        state = ({"requests": changed} if changed else {}) | _alerts(update, client)
        client.born, client.seq = update.born, update.seq
        client.rows = {row.request_id: row for row in update.requests}
        rest = {
            "ledger": None if beat is None else _ledger(beat),
            "traffic": {"requests": update.rate, "flagged": update.flagged},
            "firing": update.firing,
            "said": {"reviews": update.reviews, "silences": update.silences},
            "retraining": update.retraining,
            "coverage": self._cached_coverage(),
        }
        return state | _differences(client, rest)

    def _cached_coverage(self) -> Any:
        """Return coverage; compute it at most every five seconds, because its cost grows with tenants and hours."""
        at, known = self._coverage
        if time.monotonic() - at > _COVERAGE_SECONDS:
            found = coverage_status(self._pages.coverage(), self._pages.heartbeat())
            known = {name: getattr(found, name) for name in _COVERAGE_FIELDS}
            self._coverage = (time.monotonic(), known)
        return known


def _ledger(beat: Heartbeat) -> dict[str, Any]:
    """Return the ledger's state; `alive` is false if the ledger has sent no heartbeat for 15 s: the other values are then old."""
    alive = time.time() - beat.wall_time <= HEARTBEAT_SECONDS
    lag = sum(beat.lag.values())
    state = {"log_time": beat.log_time, "caught_up": beat.caught_up, "lag": lag, "alive": alive}
    return state | {"inactive": beat.inactive, "ahead": beat.ahead}


def _differences(client: _Client, now: dict[str, Any]) -> dict[str, Any]:
    changed = {name: value for name, value in now.items() if name not in client.rest or client.rest[name] != value}
    client.rest |= changed
    return changed


def _alerts(update: LiveUpdate, client: _Client) -> dict[str, Any]:
    """Return the changed alerts, or an instruction to reload the list of alerts.

    A new client also reloads, because an alert can change after its page read the list and before this first state.
    """
    if update.left_out or client.born != update.born:
        return {"alerts_anew": True}
    return {"alerts": update.alerts} if update.alerts else {}
