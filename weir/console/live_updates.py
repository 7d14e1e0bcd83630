"""``GET /api/live``: how things stand, told again as they change, over server-sent events.

A listener is told a state, not a stream: twice a second at most, what differs from what it was told last, at most 100 requests and
100 alerts of it. The next one is made when the last has left, so that a slow page gets fewer and never a backlog.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from stream.ledger.queries.console_queries import LedgerPages, LiveUpdate
from stream.ledger.queries.request_pages import RequestRow
from weir.console.json_http import json_response
from weir.operate.status import coverage_status

__all__ = ["Live"]

_EVERY_SECONDS = 0.5
_COVERAGE_SECONDS = 5.0
_PING_SECONDS = 5.0
_REQUESTS = 100
_LISTENERS = 16
#: Past every change: who has just come is told the place from which on it hears of them.
_NOTHING_YET = 2**62


class _Told:
    """What one listener was told."""

    def __init__(self) -> None:
        self.born = ""
        self.seq = _NOTHING_YET
        self.rows: dict[str, RequestRow] = {}
        self.rest: dict[str, Any] = {}
        self.at = 0.0


class Live:
    """Listeners, and what is looked up for all of them together.

    Parameters
    ----------
    pages
        The ledger's files.
    """

    def __init__(self, pages: LedgerPages) -> None:
        self._pages = pages
        self._listeners = 0
        self._coverage: tuple[float, Any] = (0.0, None)

    def routes(self) -> list[Route]:
        """Return the address."""
        return [Route("/api/live", self.live)]

    async def live(self, _request: Request) -> Response:
        """Answer with a stream of events ``state``."""
        if self._listeners >= _LISTENERS:
            message = f"{_LISTENERS} pages listen already, the most; close one"
            return json_response({"error": message}, 503)
        return StreamingResponse(self._events(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    async def _events(self) -> AsyncIterator[bytes]:
        self._listeners += 1
        told = _Told()
        try:
            yield b"retry: 2000\n\n"
            while True:
                began = time.monotonic()
                state = await asyncio.to_thread(self._state, told)
                if state:
                    told.at = began
                    yield b"event: state\ndata: " + msgspec.json.encode(state) + b"\n\n"
                elif began - told.at > _PING_SECONDS:
                    told.at = began
                    yield b": nothing new\n\n"
                await asyncio.sleep(max(_EVERY_SECONDS - (time.monotonic() - began), 0.05))
        finally:
            self._listeners -= 1

    def _state(self, told: _Told) -> dict[str, Any]:
        """Return what differs from what was told, and note it as told."""
        beat = self._pages.reader.heartbeat()
        log_time = beat.log_time if beat is not None else 0.0
        news = self._pages.live_update(seq=told.seq, now=time.time(), log_time=log_time, limit=_REQUESTS)
        if news is None:
            return self._differs(told, {"ledger": None})
        rows = {row.request_id: row for row in news.requests}
        state: dict[str, Any] = {}
        if changed := [row for row in news.requests if told.rows.get(row.request_id) != row]:
            state["requests"] = changed
        state |= _alerts(news, told)
        told.born, told.rows, told.seq = news.born, rows, news.seq
        return state | self._differs(
            told,
            {
                "ledger": {"log_time": log_time, "caught_up": beat.caught_up, "lag": sum(beat.lag.values())}
                if beat
                else None,
                "traffic": {"requests": news.rate, "flagged": news.flagged},
                "firing": news.firing,
                "said": {"reviews": news.reviews, "silences": news.silences},
                "coverage": self._covered(),
            },
        )

    def _differs(self, told: _Told, now: dict[str, Any]) -> dict[str, Any]:
        changed = {name: value for name, value in now.items() if name not in told.rest or told.rest[name] != value}
        told.rest |= changed
        return changed

    def _covered(self) -> Any:
        """Return coverage, looked up every five seconds: it grows with tenants and hours."""
        at, known = self._coverage
        if time.monotonic() - at > _COVERAGE_SECONDS:
            reader = self._pages.reader
            found = coverage_status(reader.coverage(), reader.heartbeat())
            known = {
                name: getattr(found, name) for name in ("ratio", "requests", "owed", "missing", "errors", "pending")
            }
            self._coverage = (time.monotonic(), known)
        return known


def _alerts(news: LiveUpdate, told: _Told) -> dict[str, Any]:
    """Return the alerts that changed, or the word that a page has to look at its list anew."""
    if news.left_out or told.born not in ("", news.born):
        return {"alerts_anew": True}
    return {"alerts": news.alerts} if news.alerts else {}
