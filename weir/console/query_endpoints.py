"""``GET /api/…``: lists and details out of the ledger's files. Ids and numbers; text never."""

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stream.ledger.queries.alert_pages import AlertQuery
from stream.ledger.queries.console_queries import LedgerPages
from stream.ledger.queries.page_cursor import Cursor
from stream.ledger.window_history import StreamName
from weir.console.json_http import bad_parameter, json_response, query_of
from weir.errors import NotFoundError
from weir.operate.request_story import read_story, shown
from weir.operate.status import coverage_status
from weir.settings import Settings

__all__ = ["Reads"]

_DAY_SECONDS = 86_400.0
#: To the end of the year 9999.
_LAST_SECOND = 253_402_300_799
_PLACE = "the `next` of a page, or a time in seconds since the epoch"

Limit = Annotated[int, msgspec.Meta(ge=1, le=500, description="a whole number from 1 to 500")]
Name = Annotated[str, msgspec.Meta(max_length=200, description="200 characters at most")]
Flag = Annotated[bool, msgspec.Meta(description="true or false")]
Before = Annotated[str, msgspec.Meta(max_length=400, description=_PLACE)]
State = Annotated[Literal["", "firing", "resolved"], msgspec.Meta(description="firing or resolved")]
Severity = Annotated[Literal["", "info", "warning", "critical"], msgspec.Meta(description="info, warning or critical")]
Side = Annotated[Literal["", "input", "output"], msgspec.Meta(description="input or output")]
Time = Annotated[
    float,
    msgspec.Meta(ge=0, le=_LAST_SECOND, description=f"a time in seconds since the epoch, from 0 to {_LAST_SECOND}"),
]


class _Alerts(msgspec.Struct, frozen=True, kw_only=True):
    state: State = ""
    severity: Severity = ""
    detector: Name = ""
    tenant: Name = ""
    model: Name = ""
    side: Side = ""
    q: Name = ""
    unreviewed: Flag = False
    before: Before = ""
    limit: Limit = 100


class _Requests(msgspec.Struct, frozen=True, kw_only=True):
    tenant: Name = ""
    flagged: Flag = False
    before: Before = ""
    limit: Limit = 100


class _Series(msgspec.Struct, frozen=True, kw_only=True):
    tenant: Name
    model: Name
    side: Name
    detector: Name
    since: Time | None = None
    until: Time | None = None


class _Streams(msgspec.Struct, frozen=True, kw_only=True):
    tenant: Name = ""


class _Retraining(msgspec.Struct, frozen=True, kw_only=True):
    before: Before = ""
    limit: Limit = 100


class Reads:
    """The handlers of everything that changes nothing.

    Parameters
    ----------
    settings
        The stack's.
    pages
        The ledger's files.
    facts
        What the page has to know of the stack (``GET /api/stack``).
    """

    def __init__(self, settings: Settings, pages: LedgerPages, facts: dict[str, Any]) -> None:
        self._settings = settings
        self._pages = pages
        self._facts = facts

    def routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route("/api/stack", self.stack),
            Route("/api/requests", self.requests),
            Route("/api/requests/{request_id}", self.request),
            Route("/api/alerts", self.alerts),
            Route("/api/alerts/{alert_id}", self.alert),
            Route("/api/drift", self.drift),
            Route("/api/drift/series", self.series),
            Route("/api/coverage", self.coverage),
            Route("/api/retraining", self.retraining),
            Route("/api/silences", self.silences),
        ]

    async def stack(self, _request: Request) -> Response:
        """Answer what this stack is."""
        return json_response(self._facts | {"now": time.time()})

    async def requests(self, request: Request) -> Response:
        """Answer a page of requests."""
        asked = query_of(request, _Requests)
        before = _place(asked.before)
        return await _answer(
            lambda: self._pages.requests(before=before, limit=asked.limit, tenant=asked.tenant, flagged=asked.flagged)
        )

    async def request(self, request: Request) -> Response:
        """Answer what became of one request, as ``weir show --json`` prints it."""
        request_id = request.path_params["request_id"]
        return await _answer(lambda: shown(read_story(self._settings.home, request_id)))

    async def alerts(self, request: Request) -> Response:
        """Answer a page of alerts."""
        asked = msgspec.structs.asdict(query_of(request, _Alerts))
        query = AlertQuery(words=asked.pop("q"), before=_place(asked.pop("before")), **asked)
        return await _answer(lambda: self._pages.alerts(query, time.time()))

    async def alert(self, request: Request) -> Response:
        """Answer all that is known of one alert."""
        alert_id = request.path_params["alert_id"]
        story = await asyncio.to_thread(self._pages.alert, alert_id, time.time())
        if story is None:
            raise NotFoundError(
                f"no alert {alert_id!r} in the ledger; it may be of another stack, or on its way: `weir alerts` reads the log"
            )
        return json_response(story)

    async def drift(self, request: Request) -> Response:
        """Answer the streams of stream detectors, highest against their limits first."""
        asked = query_of(request, _Streams)
        return await _answer(lambda: {"streams": self._pages.streams(asked.tenant)})

    async def series(self, request: Request) -> Response:
        """Answer one stream's windows; the newest day, where no time is given."""
        asked = query_of(request, _Series)
        name = StreamName(tenant=asked.tenant, model=asked.model, side=asked.side, detector=asked.detector)
        until = time.time() if asked.until is None else asked.until
        since = until - _DAY_SECONDS if asked.since is None else asked.since
        return await _answer(lambda: self._pages.series(name, since, until))

    async def coverage(self, _request: Request) -> Response:
        """Answer coverage as ``weir status --json`` has it, and by hour."""

        def ask() -> dict[str, Any]:
            reader = self._pages.reader
            return {"coverage": coverage_status(reader.coverage(), reader.heartbeat()), "hours": self._pages.hours()}

        return await _answer(ask)

    async def retraining(self, request: Request) -> Response:
        """Answer retraining events, newest first."""
        asked = query_of(request, _Retraining)
        before = _place(asked.before)
        return await _answer(lambda: self._pages.retraining(before=before, limit=asked.limit))

    async def silences(self, _request: Request) -> Response:
        """Answer the silences that hold now, the one that ends first first."""
        return await _answer(lambda: {"silences": self._pages.reader.silences().active(time.time())})


def _place(before: str) -> Cursor:
    try:
        return Cursor.parse(before)
    except ValueError:
        raise bad_parameter("before", before, _PLACE) from None


async def _answer(ask: Callable[[], Any]) -> Response:
    """Ask in a thread: SQLite must not hold up whoever listens to the live page."""
    return json_response(await asyncio.to_thread(ask))
