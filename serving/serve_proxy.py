"""A middleware of Ray Serve's own HTTP proxy, for Ray clusters, where no HAProxy is in front of the gateways.

Ray calls :func:`middlewares` if ``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`` names it (deploy/kubernetes/base/serving.yaml).
"""

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REQUEST_ID = b"x-request-id"
#: Headers of a client that Serve obeys: it would use the client's id, end the request early, or continue it after a disconnect.
_REMOVED = frozenset({_REQUEST_ID, b"x-request-timeout-seconds", b"x-request-disconnect-disabled"})


class OneRequestId:
    """Keeps the first ``x-request-id`` of a response, which is the gateway's: Serve adds a second id, its own or the client's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_one_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                ids = [one for one in message["headers"] if one[0].lower() == _REQUEST_ID]
                others = [one for one in message["headers"] if one[0].lower() != _REQUEST_ID]
                message["headers"] = [*others, *ids[:1]]
            await send(message)

        if scope["type"] == "http":
            scope["headers"] = [one for one in scope["headers"] if one[0].lower() not in _REMOVED]
        await self._app(scope, receive, send_one_id)


def middlewares() -> list[Middleware]:
    """Return the middlewares, the outermost last."""
    return [Middleware(OneRequestId)]
