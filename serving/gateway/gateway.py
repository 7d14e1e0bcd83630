"""The gateway: OpenAI's HTTP API as an ASGI application, in front of the model replicas.

The gateway does not import Ray: it uses a :class:`~serving.backend.Backend`, so tests run it with a real engine in one process.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Literal

from opentelemetry.trace import SpanKind, Status, StatusCode

from serving.api_keys import KeyRing, KeyScope, Principal
from serving.authentication import authenticate, check_scope
from serving.errors import log_failure
from serving.gateway.endpoints import Call, Endpoints
from serving.gateway.inference import Wiring
from serving.gateway.models import ServedModels
from serving.http import ClientStalled, Receive, Reply, Scope, Send, headers_of, request_id_of
from serving.openai_api.errors import ApiError
from serving.settings import HttpSettings
from stream.telemetry import incoming_context
from stream.wire import semconv

_LOG = logging.getLogger(__name__)
_Handler = Callable[[Call], Awaitable[None]]
_ANY_KEY: Literal["any key"] = "any key"
#: The scope that a route needs; `_ANY_KEY`: every key; None: no key.
_Access = KeyScope | Literal["any key"] | None
_MODEL_PATH = "/v1/models/"
_RESPONSE_PATH = "/v1/responses/"
#: The status in the metrics for a request whose client disconnected before a response began.
_NO_RESPONSE = 499


class Gateway:
    """The gateway as an ASGI application.

    `edge_token` is a secret that HAProxy sends, so that the gateway accepts HAProxy's request ids; "" if there is no HAProxy.
    """

    def __init__(
        self, http: HttpSettings, wiring: Wiring, models: ServedModels, keys: KeyRing, edge_token: str = ""
    ) -> None:
        self._edge_token = edge_token
        self._wiring = wiring
        self._keys = keys
        self._endpoints = endpoints = Endpoints(http, wiring, models)
        # Path to method, handler, the scope that the key needs.
        self._routes: dict[str, tuple[str, _Handler, _Access]] = {
            "/v1/chat/completions": ("POST", endpoints.chat, "infer"),
            "/v1/completions": ("POST", endpoints.completion, "infer"),
            "/v1/embeddings": ("POST", endpoints.embeddings, "infer"),
            "/v1/responses": ("POST", endpoints.responses, "infer"),
            "/v1/feedback": ("POST", endpoints.feedback, "feedback"),
            "/v1/labels": ("POST", endpoints.labels, "review"),
            "/v1/models": ("GET", endpoints.models, _ANY_KEY),
            "/healthz": ("GET", endpoints.healthz, None),
            "/readyz": ("GET", endpoints.readyz, None),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, or the lifespan events."""
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise NotImplementedError(f"ASGI scope {scope['type']} is not supported; Weir serves HTTP")
        headers = headers_of(scope)
        request_id = request_id_of(headers, self._edge_token)
        reply = Reply(send, request_id)
        metrics = self._wiring.metrics
        route = "unknown"
        with metrics.in_flight.track_inprogress():
            try:
                route, handler, method, access = self._find(scope["path"])
                self._check_method(scope["method"], method, route)
                call = Call(
                    request_id=request_id,
                    route=route,
                    headers=headers,
                    receive=receive,
                    reply=reply,
                    principal=self._authorized(headers, access),
                    model=scope["path"].removeprefix(_MODEL_PATH).rstrip("/"),
                )
                await self._traced(call, method, handler)
            except ClientStalled as error:  # the server closes the connection of an answer without an end
                _LOG.warning("request %s: %s Its connection is closed.", request_id, error.message)
            except ApiError as error:
                await reply.error(error)
            except Exception as error:  # noqa: BLE001 - the boundary: an internal error gets a response, and the process goes on
                log_failure(_LOG, f"request {request_id}", error)
                await reply.error(
                    ApiError(500, "Internal error of Weir; the gateway's log has the cause.", code="internal_error")
                )
            finally:
                metrics.requests.labels(route, str(reply.status or _NO_RESPONSE)).inc()

    def _authorized(self, headers: dict[str, str], access: _Access) -> Principal | None:
        """Return the principal if the route needs a key; raises ApiError 401 or 403."""
        if access is None:
            return None
        principal = authenticate(self._keys, headers)
        if access != _ANY_KEY:
            check_scope(principal, access)
        return principal

    def _find(self, path: str) -> tuple[str, _Handler, str, _Access]:
        found = self._routes.get(path) or self._routes.get(path.rstrip("/"))
        if found is not None:
            method, handler, access = found
            return path.rstrip("/"), handler, method, access
        if path.startswith(_MODEL_PATH):
            return f"{_MODEL_PATH}{{model}}", self._endpoints.model, "GET", _ANY_KEY
        if path.startswith(_RESPONSE_PATH):
            raise ApiError(
                404,
                "Of the Responses API, Weir serves only POST /v1/responses, and no stored responses; send the earlier turns in input.",
                code="unknown_url",
            )
        known = ", ".join(self._routes)
        raise ApiError(404, f"This path does not exist; Weir serves {known}.", code="unknown_url")

    @staticmethod
    def _check_method(method: str, allowed: str, route: str) -> None:
        if method == allowed or (method == "HEAD" and allowed == "GET"):
            return
        raise ApiError(405, f"Use {allowed} for {route}.", code="method_not_allowed", headers={"allow": allowed})

    async def _traced(self, call: Call, method: str, handler: _Handler) -> None:
        """Run `handler`; a POST request gets a span that continues the client's trace."""
        if method != "POST":
            await handler(call)
            return
        attributes = {"http.request.method": method, "http.route": call.route, semconv.WEIR_REQUEST_ID: call.request_id}
        with self._wiring.tracer.start_as_current_span(
            f"{method} {call.route}",
            context=incoming_context(call.headers),
            kind=SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                await handler(call)
            except Exception as error:  # marked in the span, then raised again
                status, kind = 500, type(error).__name__
                if isinstance(error, ApiError):
                    status, kind = error.status, error.code
                span.set_attribute(semconv.ERROR_TYPE, kind)
                span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    span.set_status(Status(StatusCode.ERROR, kind))
                raise
            finally:
                if call.reply.status is not None:
                    span.set_attribute("http.response.status_code", call.reply.status)


async def lifespan(receive: Receive, send: Send) -> None:
    """Acknowledge ASGI's lifespan events; the application has nothing to start or stop."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
