"""The console as an ASGI application: page, static files, API, and the guard that checks requests."""

from importlib.metadata import version
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from detectors.registry import DETECTORS
from stream.ledger.decisions import OWN_DETECTORS
from stream.ledger.queries.console_queries import LedgerPages
from stream.runbook import SILENCE
from stream.wire.errors import StreamError
from weir.console.action_endpoints import ActionEndpoints
from weir.console.addresses import console_names, host_header
from weir.console.assets import Asset, load_assets
from weir.console.json_http import error_response
from weir.console.live_updates import LiveEndpoint
from weir.console.query_endpoints import QueryEndpoints
from weir.console.request_guard import RequestGuard
from weir.console.sessions import Sessions
from weir.errors import WeirError
from weir.home.access_log import user_name
from weir.home.ports import in_url
from weir.operate.trace_links import trace_page
from weir.settings import Settings

#: Paths of the page's views; each returns the page, which reads its own address.
VIEWS = (
    "live",
    "alerts",
    "drift",
    "coverage",
    "retraining",
    "review",
    "answers",
    "detectors",
    "models",
    "silences",
    "requests",
    "conversations",
)
_NOT_MODIFIED = 304
_SERVER_ERROR = 500


def console_app(settings: Settings, sessions: Sessions, port: int) -> ASGIApp:
    """Return the console application of a stack; `port` is the port that serves it."""
    pages = LedgerPages(settings.home / "ledger")
    assets = load_assets()
    routes = [
        *QueryEndpoints(settings, pages, _facts(settings)).routes(),
        *ActionEndpoints(settings, pages).routes(),
        *LiveEndpoint(pages).routes(),
        *_pages(assets),
    ]
    app = Starlette(routes=routes, exception_handlers={WeirError: error_response, StreamError: error_response})
    return RequestGuard(app, sessions, _hosts(settings, port), port)


def _facts(settings: Settings) -> dict[str, Any]:
    return {
        "version": version("weir-llm"),
        "home": str(settings.home),
        "user": user_name(),
        "trace": trace_page(settings),
        "detectors": sorted({*settings.detectors.input, *settings.detectors.output}),
        "capabilities": _capabilities(),
        "retention_hours": settings.kafka.retention_hours,
    }


def _capabilities() -> dict[str, dict[str, Any]]:
    """Return, by detector name, whether it opens alerts, whether it explains its verdicts, and the sides that it reads."""
    own = {name: {"alerts": True, "explains": False, "sides": ()} for name in (*OWN_DETECTORS, SILENCE)}
    return own | {
        name: {"alerts": detector.alert is not None, "explains": detector.explains, "sides": detector.sides}
        for name, detector in DETECTORS.items()
    }


def _hosts(settings: Settings, port: int) -> frozenset[str]:
    """Return the allowed Host headers; another host name could be an attacker's name that resolves to this address."""
    own = {"127.0.0.1", "localhost", "[::1]", in_url(settings.console.host)}
    local = (host_header(f"{name}:{port}") for name in own)
    return frozenset(name.lower() for name in (*local, *console_names(settings, port)))


def _pages(assets: dict[str, Asset]) -> list[Route]:
    broken = next((one for one in assets.values() if one.fault), None)

    async def file(request: Request) -> Response:
        asset = assets.get(request.path_params["name"])
        return Response("no such file\n", 404) if asset is None else _response(request, asset)

    async def page(request: Request) -> Response:
        return _response(request, broken or assets["index.html"])  # without one of its files, the page would be blank

    views = [Route(f"/{view}", page) for view in VIEWS] + [Route(f"/{view}/{{name:path}}", page) for view in VIEWS]
    return [Route("/", page), *views, Route("/web/{name:path}", file)]


def _response(request: Request, asset: Asset) -> Response:
    if asset.fault:
        return PlainTextResponse(f"{asset.fault}\n", _SERVER_ERROR, headers={"cache-control": "no-store"})
    headers = {"etag": asset.etag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=_NOT_MODIFIED, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)
