"""What the gateway answers at each of its addresses."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from opentelemetry import trace

from serving.api_keys import Principal
from serving.capture.recorder import Recorder
from serving.errors import CaptureError
from serving.gateway.inference import Exchange, Wiring
from serving.http import Headers, Receive, Reply, read_body
from serving.inference_records import Asked, Caller
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
#: Feedback is ids and words; it takes none of the places of inference.
_FEEDBACK_BYTES = 16 * 1024


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway is told.

    Parameters
    ----------
    model
        The one model that is served.
    max_body_bytes
        Larger bodies get 413.
    edge_token
        What the edge sends to prove itself; "" where there is no edge.
    most_in_flight
        Inferences under way in this gateway, those whose body is being read included; more get 503.
    body_seconds
        A body that takes longer to arrive gets 408.
    """

    model: str
    max_body_bytes: int = 512 * 1024
    edge_token: str = ""
    most_in_flight: int = 1024
    body_seconds: float = 30.0


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request that was let in."""

    request_id: str
    route: str
    headers: dict[str, str]
    receive: Receive
    reply: Reply
    principal: Principal | None = None


class Endpoints:
    """The handlers of a gateway.

    Parameters
    ----------
    settings
        What is served, and its bounds.
    wiring
        What the exchanges share.
    recorder
        Capture's; None where nothing is recorded.
    """

    def __init__(self, settings: GatewaySettings, wiring: Wiring, recorder: Recorder | None) -> None:
        self._settings = settings
        self._wiring = wiring
        self._recorder = recorder
        self._in_flight = 0
        self._info: ModelInfo | None = None
        self._created = int(time.time())

    async def refresh(self) -> ModelInfo:
        """Ask a replica what it serves; raises ReplicaLost where none answers in two seconds."""
        try:
            self._info = await asyncio.wait_for(self._wiring.backend.describe(), _DESCRIBE_SECONDS)
        except TimeoutError:
            raise ReplicaLost("Timeout") from None
        return self._info

    async def chat(self, call: Call) -> None:
        """Answer ``POST /v1/chat/completions``."""
        with self._place():
            request = parse(ChatRequest, await self._body(call))
            await self._infer(call, "chat", request, ChatAnswer)

    async def completion(self, call: Call) -> None:
        """Answer ``POST /v1/completions``."""
        with self._place():
            request = parse(CompletionRequest, await self._body(call))
            await self._infer(call, "text_completion", request, CompletionAnswer)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Hold one of the gateway's places; taken before the body is read, so that who waits for one costs no memory.

        Full is 503, OpenAI's word for an overloaded engine; 429 would say that this key has used up a quota of its own.
        """
        if self._in_flight >= self._settings.most_in_flight:
            raise unavailable(
                f"{self._in_flight} requests are under way, the most that this gateway holds; try again in a second.",
                code="queue_full",
            )
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    async def _body(self, call: Call, most_bytes: int | None = None) -> bytes:
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                return await read_body(call.receive, call.headers, most_bytes or self._settings.max_body_bytes)
        except TimeoutError:
            raise ApiError(
                408,
                f"The body did not arrive within {self._settings.body_seconds:g} s, the most that Weir waits; send it faster.",
                code="request_timeout",
                headers={"connection": "close"},
            ) from None

    async def _infer(
        self, call: Call, operation: str, request: ChatRequest | CompletionRequest, answer_type: type[Answer]
    ) -> None:
        if request.model != self._settings.model:
            raise self._no_such_model()
        info = self._info or await self._first_info()
        generation = request.generation()
        _check_length(generation, info)
        assert call.principal is not None
        caller = Caller(
            request_id=call.request_id,
            tenant=call.principal.tenant,
            principal=call.principal.id,
            conversation=request.conversation or _conversation(call.headers),
        )
        answer = answer_type(
            call.request_id,
            self._settings.model,
            info.version,
            int(time.time()),
            include_usage=request.include_usage,
        )
        asked = Asked(caller=caller, model=self._settings.model, info=info, operation=operation, generation=generation)
        await Exchange(self._wiring, asked, answer).run(call.reply)

    async def _first_info(self) -> ModelInfo:
        try:
            return await self.refresh()
        except ReplicaLost:
            raise unavailable(
                "The model is not loaded yet; GET /readyz says when it is.",
                code="model_not_ready",
                retry_after_seconds=2,
            ) from None

    def _no_such_model(self) -> ApiError:
        return ApiError(
            404,
            f"The model asked for is not served here; ask for {self._settings.model!r}. GET /v1/models lists what is.",
            code="model_not_found",
            param="model",
        )

    async def feedback(self, call: Call) -> None:
        """Answer ``POST /v1/feedback``."""
        body = await self._body(call, min(_FEEDBACK_BYTES, self._settings.max_body_bytes))
        request = parse(FeedbackRequest, body)
        if self._recorder is None:
            raise unavailable("capture.enabled is false, so feedback cannot be kept; enable it.", code="capture_off")
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
            await self._recorder.feedback(
                record,
                conversation_id=request.conversation_id or _conversation(call.headers),
                traceparent=traceparent_of(trace.get_current_span()),
            )
        except CaptureError as error:
            raise unavailable(
                f"Feedback cannot be kept now: {error}", code="spool_full", retry_after_seconds=5
            ) from None
        await call.reply.json({"object": "feedback", "request_id": request.request_id, "accepted": True}, 202)

    async def models(self, call: Call) -> None:
        """Answer ``GET /v1/models``."""
        await call.reply.json({"object": "list", "data": [self._model_card()]})

    async def model(self, call: Call) -> None:
        """Answer ``GET /v1/models/{id}`` of the one that is served."""
        await call.reply.json(self._model_card())

    async def unknown_model(self, call: Call) -> None:
        """Answer ``GET /v1/models/{id}`` of any other."""
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
        """Answer ``GET /healthz``: this process answers."""
        await call.reply.json({"status": "ok"})

    async def readyz(self, call: Call) -> None:
        """Answer ``GET /readyz``: the model is loaded, and the next request can be recorded. Kafka plays no part."""
        reasons = {}
        try:
            await self.refresh()
        except ReplicaLost as lost:
            reasons["model"] = f"no replica answers ({lost.kind})"
        if self._recorder is not None and not self._recorder.writable():
            reasons["spool"] = "full or not writable"
        if reasons:
            await call.reply.json({"status": "unready", "reasons": reasons}, 503, {"retry-after": "2"})
            return
        await call.reply.json({"status": "ready"})


def _check_length(generation: Generation, info: ModelInfo) -> None:
    """Refuse at the edge what cannot fit whatever the prompt; the replica, which counts tokens, refuses the rest."""
    if generation.max_tokens is not None and generation.max_tokens >= info.context_length:
        raise invalid(
            f"max_tokens is {generation.max_tokens}; with the prompt it must fit into {info.context_length} tokens."
            " Ask for fewer.",
            code="context_length_exceeded",
            param="max_tokens",
        )


def _conversation(headers: Headers) -> str:
    named = headers.get("x-weir-conversation-id", "")
    if len(named) > _CONVERSATION_CHARACTERS:
        raise invalid(
            f"x-weir-conversation-id has {len(named)} characters; at most {_CONVERSATION_CHARACTERS} are taken.",
            param="x-weir-conversation-id",
        )
    return named
