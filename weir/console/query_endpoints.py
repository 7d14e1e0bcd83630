"""``GET /api/…``: lists and details from the ledger's files, and maps from the signals; they contain ids and numbers, never prompts or answers."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stream.ledger.queries.alert_pages import AlertQuery
from stream.ledger.queries.console_queries import AlertStory, LedgerPages
from stream.ledger.queries.page_cursor import Cursor
from stream.ledger.window_history import StreamName
from weir.client import effective_kafka
from weir.console.json_http import bad_parameter, json_response, query_of
from weir.console.weir_process import output_of
from weir.errors import NotFoundError, StackError
from weir.operate.embedding_map import MapQuery, embedding_map
from weir.operate.request_story import read_story, shown
from weir.operate.retraining_decisions import possible_decisions
from weir.operate.status import coverage_status
from weir.operate.thresholds import proposals
from weir.settings import Settings

_DAY_SECONDS = 86_400.0
#: The end of the year 9999.
_LAST_SECOND = 253_402_300_799
#: A version is an argument of a command: it must not begin with a hyphen.
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: Characters of an unknown version that its error contains.
_SHOWN = 100
_CURSOR = "the `next` of a page, or a time in seconds since the epoch"

Limit = Annotated[int, msgspec.Meta(ge=1, le=500, description="a whole number from 1 to 500")]
Share = Annotated[float, msgspec.Meta(gt=0, le=1, description="a number above 0, at most 1")]
Name = Annotated[str, msgspec.Meta(max_length=200, description="200 characters at most")]
Flag = Annotated[bool, msgspec.Meta(description="true or false")]
Before = Annotated[str, msgspec.Meta(max_length=400, description=_CURSOR)]
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
    part: Name | None = None
    model_version: Name | None = None
    q: Name = ""
    unreviewed: Flag = False
    before: Before = ""
    limit: Limit = 100


class _Requests(msgspec.Struct, frozen=True, kw_only=True):
    tenant: Name = ""
    flagged: Flag = False
    before: Before = ""
    limit: Limit = 100


class _Newest(msgspec.Struct, frozen=True, kw_only=True):
    limit: Limit = 100


class _Conversation(msgspec.Struct, frozen=True, kw_only=True):
    limit: Limit = 50


class _Series(msgspec.Struct, frozen=True, kw_only=True):
    tenant: Name
    model: Name
    side: Name
    detector: Name
    since: Time | None = None
    until: Time | None = None


class MapParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a map of embeddings."""

    tenant: Name
    model: Name
    side: Name
    until: Time
    since: Time | None = None

    def query(self) -> MapQuery:
        """Return the query of the map."""
        return MapQuery(**msgspec.structs.asdict(self))


class _Streams(msgspec.Struct, frozen=True, kw_only=True):
    tenant: Name = ""


class _Precision(msgspec.Struct, frozen=True, kw_only=True):
    tenant: Name = ""
    precision: Share = 0.9


class _Retraining(msgspec.Struct, frozen=True, kw_only=True):
    before: Before = ""
    limit: Limit = 100


class QueryEndpoints:
    """Handlers of the requests for lists and details."""

    def __init__(self, settings: Settings, pages: LedgerPages, facts: dict[str, Any]) -> None:
        self._settings = settings
        self._pages = pages
        self._facts = facts
        self._reading = asyncio.Lock()
        self._mapping = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/api/stack", self.stack),
            Route("/api/requests", self.requests),
            Route("/api/answers", self.answers),
            Route("/api/requests/{request_id}", self.request),
            Route("/api/requests/{request_id}/conversation", self.conversation),
            Route("/api/alerts", self.alerts),
            Route("/api/alerts/{alert_id}", self.alert),
            Route("/api/drift", self.drift),
            Route("/api/drift/series", self.series),
            Route("/api/drift/map", self.map),
            Route("/api/coverage", self.coverage),
            Route("/api/retraining", self.retraining),
            Route("/api/detectors", self.detectors),
            Route("/api/models", self.models),
            Route("/api/models/{version}/chain", self.chain),
            Route("/api/silences", self.silences),
        ]

    async def stack(self, _request: Request) -> Response:
        """Return the constant properties of the stack: user, home, detectors and retention."""
        return json_response(self._facts | {"now": time.time()})

    async def requests(self, request: Request) -> Response:
        """Return a page of requests."""
        query = query_of(request, _Requests)
        before = _cursor(query.before)
        return await _answer(
            lambda: self._pages.requests(before=before, limit=query.limit, tenant=query.tenant, flagged=query.flagged)
        )

    async def answers(self, request: Request) -> Response:
        """Return the requests whose answers wait for a review."""
        limit = query_of(request, _Newest).limit
        return await _answer(lambda: {"requests": self._pages.answers_to_review(limit)})

    async def request(self, request: Request) -> Response:
        """Return one request, as ``weir show --json`` prints it."""
        request_id = request.path_params["request_id"]
        return await _answer(lambda: shown(read_story(self._settings.home, request_id)))

    async def conversation(self, request: Request) -> Response:
        """Return the turns of a request's conversation, oldest first, each with the request as ``weir show --json`` prints it."""
        limit, request_id = query_of(request, _Conversation).limit, request.path_params["request_id"]

        def read() -> dict[str, Any]:
            read_story(self._settings.home, request_id)  # an unknown id is an error
            stories = self._pages.conversation_of(request_id, limit=limit)
            return {"turns": [{"at": story.at, "request": shown(story)} for story in stories]}

        return await _answer(read)

    async def alerts(self, request: Request) -> Response:
        """Return a page of alerts."""
        given = msgspec.structs.asdict(query_of(request, _Alerts))
        query = AlertQuery(words=given.pop("q"), before=_cursor(given.pop("before")), **given)
        return await _answer(lambda: self._pages.alerts(query, time.time()))

    async def alert(self, request: Request) -> Response:
        """Return one alert with its changes, evidence, reviews, retraining events and drift windows."""
        return json_response(await alert_story(self._pages, request.path_params["alert_id"]))

    async def drift(self, request: Request) -> Response:
        """Return the streams that drift and anomaly detectors check.

        Streams in alarm are first, then streams with the highest ratio of statistic to limit.
        """
        query = query_of(request, _Streams)
        return await _answer(lambda: {"streams": self._pages.streams(query.tenant)})

    async def series(self, request: Request) -> Response:
        """Return the windows of one stream, by default those of its newest day."""
        query = query_of(request, _Series)
        name = StreamName(tenant=query.tenant, model=query.model, side=query.side, detector=query.detector)
        until = time.time() if query.until is None else query.until
        since = until - _DAY_SECONDS if query.since is None else query.since
        return await _answer(lambda: self._pages.series(name, since, until))

    async def map(self, request: Request) -> Response:
        """Return the map of a stream's embeddings: coordinates, ids and numbers, no text."""
        query = query_of(request, MapParameters).query()
        async with self._mapping:  # a map can need 100 MB while it is computed
            kafka = effective_kafka(self._settings)
            return json_response(await embedding_map(kafka, self._pages, self._settings.tenants, query))

    async def coverage(self, _request: Request) -> Response:
        """Return coverage as in ``weir status --json``, and coverage per hour."""

        def read() -> dict[str, Any]:
            pages = self._pages
            return {"coverage": coverage_status(pages.coverage(), pages.heartbeat()), "hours": pages.hours()}

        return await _answer(read)

    async def retraining(self, request: Request) -> Response:
        """Return retraining events, newest first, with the decisions that the retraining allows now."""
        query = query_of(request, _Retraining)
        before = _cursor(query.before)

        def read() -> dict[str, Any]:
            page = self._pages.retraining(before=before, limit=query.limit)
            decisions = {name: possible_decisions(history) for name, history in page.histories.items()}
            events = [msgspec.to_builtins(one) | {"decisions": decisions[one.retraining_id]} for one in page.retraining]
            return {"retraining": events, "next": page.next}

        return await _answer(read)

    async def detectors(self, request: Request) -> Response:
        """Return the precision of each detector in reviewed alerts with the threshold that the reviews propose."""
        query = query_of(request, _Precision)

        def read() -> dict[str, Any]:
            proposed = proposals(self._settings, tenant=query.tenant, target=query.precision)
            by_name = {(one.tenant, one.detector): one for one in proposed}
            return {
                "detectors": [
                    {"precision": one, "proposal": by_name.get((one.tenant, one.detector))}
                    for one in self._pages.detector_precision(query.tenant)
                ]
            }

        return await _answer(read)

    async def models(self, request: Request) -> Response:
        """Return the trained versions, newest state first."""
        limit = query_of(request, _Newest).limit
        return await _answer(lambda: {"models": self._pages.model_versions(limit)})

    async def chain(self, request: Request) -> Response:
        """Return the causal chain of a version, as ``weir why VERSION --json`` prints it: ids and numbers, no text of a row."""
        version = request.path_params["version"]
        if not _VERSION.fullmatch(version):
            raise NotFoundError(f"no version {version[:_SHOWN]!r}; the name of a version is such as m_0123456789ab")
        if self._reading.locked():
            raise StackError("another chain is being read; try again when it is done")
        async with self._reading:
            return json_response(msgspec.Raw(await output_of("why", "--json", version)))

    async def silences(self, _request: Request) -> Response:
        """Return the silences in force, ordered by expiry."""
        return await _answer(lambda: {"silences": self._pages.silences().active(time.time())})


async def alert_story(pages: LedgerPages, alert_id: str) -> AlertStory:
    """Return an alert with all related data; raises NotFoundError."""
    story = await asyncio.to_thread(pages.alert, alert_id, time.time())
    if story is None:
        raise NotFoundError(
            f"no alert {alert_id!r} in the ledger; it may be very new, or of another stack; `weir alerts` reads Kafka"
        )
    return story


def _cursor(before: str) -> Cursor:
    try:
        return Cursor.parse(before)
    except ValueError:
        raise bad_parameter("before", before, _CURSOR) from None


async def _answer(read: Callable[[], Any]) -> Response:
    """Call the query in a thread, because SQLite must not block the live updates."""
    return json_response(await asyncio.to_thread(read))
