"""The gateway's HTTP endpoints."""

import asyncio
import time

import msgspec
from opentelemetry import trace

from serving.api_keys import Principal
from serving.errors import CaptureError
from serving.gateway.inference import Inference, Wiring
from serving.http import BODY_SECONDS, Headers, Receive, Reply, Slots, read_body
from serving.inference_records import InferenceRequest
from serving.openai_api.chat import ChatAnswer, ChatRequest
from serving.openai_api.completions import CompletionAnswer, CompletionRequest
from serving.openai_api.errors import ApiError, invalid, unavailable
from serving.openai_api.feedback import FeedbackRequest
from serving.openai_api.request_model import parse
from serving.openai_api.responses import Answer
from serving.replica.generation import Generation, ModelInfo, ReplicaLost
from stream.telemetry import traceparent_of
from stream.wire import Feedback

__all__ = ["Call", "Endpoints", "GatewaySettings"]

_CONVERSATION_CHARACTERS = 256
_DESCRIBE_SECONDS = 2.0
#: A small limit, because feedback consists of ids and single words.
_FEEDBACK_BYTES = 16 * 1024


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """The one model that a gateway serves, and its limits.

    `edge_token` is a secret that HAProxy sends, so that the gateway accepts HAProxy's request ids; "" if there is no HAProxy. If
    `max_in_flight` requests are in progress, further requests get 503. A body that needs longer than `body_seconds` gets 408.
    """

    model: str
    max_body_bytes: int
    edge_token: str = ""
    max_in_flight: int
    body_seconds: float = BODY_SECONDS


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request to an endpoint; `principal` is None if the endpoint needs no key."""

    request_id: str
    route: str
    headers: dict[str, str]
    receive: Receive
    reply: Reply
    principal: Principal | None = None


class Endpoints:
    """The handlers of a gateway."""

    def __init__(self, settings: GatewaySettings, wiring: Wiring) -> None:
        self._settings = settings
        self._wiring = wiring
        self._slots = Slots(settings.max_in_flight)
        self._info: ModelInfo | None = None
        self._created = int(time.time())

    async def refresh(self) -> ModelInfo:
        """Get the model description from a replica; raises ReplicaLost if no replica answers within two seconds."""
        try:
            async with asyncio.timeout(_DESCRIBE_SECONDS):
                self._info = await self._wiring.backend.describe()
        except TimeoutError:
            raise ReplicaLost("Timeout") from None
        return self._info

    async def chat(self, call: Call) -> None:
        """Answer ``POST /v1/chat/completions``."""
        with self._slots.take():
            request = parse(ChatRequest, await self._body(call, self._settings.max_body_bytes))
            await self._infer(call, "chat", request, ChatAnswer)

    async def completion(self, call: Call) -> None:
        """Answer ``POST /v1/completions``."""
        with self._slots.take():
            request = parse(CompletionRequest, await self._body(call, self._settings.max_body_bytes))
            await self._infer(call, "text_completion", request, CompletionAnswer)

    async def _body(self, call: Call, max_bytes: int) -> bytes:
        return await read_body(call.receive, call.headers, max_bytes, self._settings.body_seconds)

    async def _infer(
        self, call: Call, operation: str, request: ChatRequest | CompletionRequest, answer_type: type[Answer]
    ) -> None:
        if request.model != self._settings.model:
            raise self._no_such_model()
        info = self._info or await self._first_info()
        generation = request.generation()
        _check_length(generation, info)
        assert call.principal is not None
        answer = answer_type(
            call.request_id,
            self._settings.model,
            info.version,
            int(time.time()),
            include_usage=request.include_usage,
        )
        inference = InferenceRequest(
            request_id=call.request_id,
            tenant=call.principal.tenant,
            principal=call.principal.id,
            conversation=request.conversation or _conversation(call.headers),
            model=self._settings.model,
            info=info,
            operation=operation,
            generation=generation,
        )
        await Inference(self._wiring, inference, answer).run(call.reply)

    async def _first_info(self) -> ModelInfo:
        try:
            return await self.refresh()
        except ReplicaLost:
            raise unavailable(
                "The model is not loaded yet; GET /readyz returns 200 when it is.",
                code="model_not_ready",
                retry_after_seconds=2,
            ) from None

    def _no_such_model(self) -> ApiError:
        return ApiError(
            404,
            f"This model is not served here; use {self._settings.model!r}, which GET /v1/models lists.",
            code="model_not_found",
            param="model",
        )

    async def feedback(self, call: Call) -> None:
        """Answer ``POST /v1/feedback``."""
        body = await self._body(call, min(_FEEDBACK_BYTES, self._settings.max_body_bytes))
        request = parse(FeedbackRequest, body)
        if self._wiring.recorder is None:
            raise unavailable("capture.enabled is false, so feedback is not recorded; enable it.", code="capture_off")
        assert call.principal is not None
        record = Feedback(
            request_id=request.request_id,
            tenant=call.principal.tenant,
            principal=call.principal.id,
            rating="" if request.rating is None else str(request.rating),
            label=request.label or "",
            detector=request.detector or "",
            alert_id=request.alert_id or "",
        )
        try:
            await self._wiring.recorder.feedback(
                record,
                conversation_id=request.conversation_id or _conversation(call.headers),
                traceparent=traceparent_of(trace.get_current_span()),
            )
        except CaptureError as error:
            raise unavailable(
                f"The feedback cannot be recorded now: {error}", code="spool_full", retry_after_seconds=5
            ) from None
        await call.reply.json({"object": "feedback", "request_id": request.request_id, "accepted": True}, 202)

    async def models(self, call: Call) -> None:
        """Answer ``GET /v1/models``."""
        await call.reply.json({"object": "list", "data": [self._model_card()]})

    async def model(self, call: Call) -> None:
        """Answer ``GET /v1/models/{id}`` for the served model."""
        await call.reply.json(self._model_card())

    async def unknown_model(self, call: Call) -> None:
        """Answer ``GET /v1/models/{id}`` for any other model."""
        del call
        raise self._no_such_model()

    def _model_card(self) -> dict[str, object]:
        card: dict[str, object] = {
            "id": self._settings.model,
            "object": "model",
            "created": self._created,
            "owned_by": "weir",
        }
        if self._info is not None:
            card |= {
                "version": self._info.version,
                "context_length": self._info.context_length,
                "engine": self._info.engine,
            }
        return card

    async def healthz(self, call: Call) -> None:
        """Answer ``GET /healthz``: this process is alive."""
        await call.reply.json({"status": "ok"})

    async def readyz(self, call: Call) -> None:
        """Answer ``GET /readyz``: the model is loaded and the next request can be recorded, with or without Kafka."""
        reasons = {}
        try:
            await self.refresh()
        except ReplicaLost as lost:
            reasons["model"] = f"no replica answers ({lost.kind})"
        if self._wiring.recorder is not None and not self._wiring.recorder.writable():
            reasons["spool"] = "full or not writable"
        if reasons:
            await call.reply.json({"status": "unready", "reasons": reasons}, 503, {"retry-after": "2"})
            return
        await call.reply.json({"status": "ready"})


def _check_length(generation: Generation, info: ModelInfo) -> None:
    """Reject a `max_tokens` that is too large for any prompt; the replica checks the sum of prompt tokens and `max_tokens`."""
    if generation.max_tokens is not None and generation.max_tokens >= info.context_length:
        raise invalid(
            f"max_tokens is {generation.max_tokens}; with the prompt the limit is {info.context_length} tokens."
            " Reduce max_tokens.",
            code="context_length_exceeded",
            param="max_tokens",
        )


def _conversation(headers: Headers) -> str:
    named = headers.get("x-weir-conversation-id", "")
    if len(named) > _CONVERSATION_CHARACTERS:
        raise invalid(
            f"x-weir-conversation-id has {len(named)} characters, the limit is {_CONVERSATION_CHARACTERS}; shorten it.",
            param="x-weir-conversation-id",
        )
    return named
