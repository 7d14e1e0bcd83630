"""The gateway's HTTP endpoints."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import msgspec
from opentelemetry import trace

from serving.api_keys import Principal
from serving.authentication import check_scope
from serving.backend import ANY_FIELD, BackendLost, ModelInfo, ModelRequest, Operation
from serving.capture.event_encoding import Judgment
from serving.errors import CaptureError
from serving.gateway.inference import Inference, Wiring, answer_of
from serving.gateway.models import ServedModel, ServedModels, check_features
from serving.gateway.shadow import ShadowQueue
from serving.gateway.tenant_settings import consistency_settings, is_asked_again
from serving.http import Headers, LargeBodies, Receive, Reply, Slots, read_body, too_large
from serving.inference_records import InferenceRequest
from serving.openai_api.chat import ChatRequest
from serving.openai_api.completions import CompletionRequest
from serving.openai_api.errors import invalid, unavailable
from serving.openai_api.feedback import FeedbackRequest
from serving.openai_api.labels import LabelsRequest
from serving.openai_api.open_request import OpenRequest, model_of, size_without_images
from serving.openai_api.request_model import NAME_CHARACTERS, parse
from serving.settings import HttpSettings
from stream.telemetry import traceparent_of
from stream.wire import OWN_TENANT, CorrectionRecord, Feedback, RouteRecord, canonical_time, trained_version
from stream.wire.route_files import in_shadow, version_for

#: A comment and a correction at their limits, with room for the escapes of JSON.
_FEEDBACK_BYTES = 256 * 1024
#: Feedback and labels that are read at the same time, limited because of their memory; inference has other slots.
_MAX_JUDGMENTS = 64


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request to an endpoint; `principal` is None if the endpoint needs no key; `model` is the name in the path."""

    request_id: str
    route: str
    headers: dict[str, str]
    receive: Receive
    reply: Reply
    principal: Principal | None = None
    model: str = ""


class Endpoints:
    """The handlers of a gateway; `http` limits the bodies."""

    def __init__(self, http: HttpSettings, wiring: Wiring, models: ServedModels) -> None:
        self._usual_bytes = http.max_body_bytes
        self._wiring = wiring
        self._models = models
        self._slots = Slots(models.capacity())
        self._shadows = ShadowQueue(wiring, lambda: self._slots.busy)
        largest = http.max_image_body_bytes if any(model.takes_images for model in models) else 0
        self._consistency = consistency_settings(wiring.tenants)
        self._large_bodies = LargeBodies(self._usual_bytes, max(self._usual_bytes, largest), http.image_bodies_bytes)
        self._judgments = Slots(_MAX_JUDGMENTS)
        self._created = int(time.time())
        for model in models:  # starts at zero, so that Prometheus sees the first request as an increase
            wiring.metrics.unloaded.labels(model.name)

    async def chat(self, call: Call) -> None:
        """Answer ``POST /v1/chat/completions``."""
        await self._infer(call, "chat", ChatRequest)

    async def completion(self, call: Call) -> None:
        """Answer ``POST /v1/completions``."""
        await self._infer(call, "text_completion", CompletionRequest)

    async def embeddings(self, call: Call) -> None:
        """Answer ``POST /v1/embeddings``."""
        await self._infer(call, "embeddings")

    async def responses(self, call: Call) -> None:
        """Answer ``POST /v1/responses``."""
        await self._infer(call, "responses")

    async def _prompt(self, call: Call, max_bytes: int) -> bytes:
        """Return the body of an inference; raises ApiError 413 if it is too large for its model."""
        raw = await read_body(call.receive, call.headers, max_bytes)
        if len(raw) > self._usual_bytes:
            # Clients may write the model's name behind the messages, so it is known only now.
            if not self._models.takes_images(model_of(raw)):
                raise too_large(self._usual_bytes)
            if size_without_images(raw) > self._usual_bytes:
                raise too_large(self._usual_bytes, "The body without its inline images")
        return raw

    async def _infer(
        self, call: Call, operation: Operation, request_type: type[ChatRequest | CompletionRequest] | None = None
    ) -> None:
        """Answer an inference; without `request_type`, only engines with `any_field` can."""
        with self._slots.take(), self._large_bodies.take(call.headers) as limit:
            request = await self._parsed(await self._prompt(call, limit), operation, request_type)
            await self._run(call, operation, request)

    async def _parsed(
        self, raw: bytes, operation: Operation, request_type: type[ChatRequest | CompletionRequest] | None
    ) -> ChatRequest | CompletionRequest | OpenRequest:
        """Return the request in `raw`; no caller keeps `raw`, because it may have several megabytes."""
        if request_type is None or await self._models.takes_any_field(model_of(raw)):
            return OpenRequest.parse(raw, operation)
        return parse(request_type, raw)

    async def _run(
        self, call: Call, operation: Operation, request: ChatRequest | CompletionRequest | OpenRequest
    ) -> None:
        model = self._models.find(request.model)
        info = await model.ready_info()
        if not isinstance(request, OpenRequest):
            check_features(request.features(), info)
        elif ANY_FIELD not in info.features:
            raise invalid(
                f"The engine {info.engine!r} of this model does not support /v1/{operation}; use another model or endpoint.",
                code="unsupported_endpoint",
                param="model",
            )
        body = request.body()
        _check_length(body, info)
        assert call.principal is not None
        conversation = request.conversation or _conversation(call.headers)
        route = self._route(call, model)
        version = "" if route is None else trained_version(version_for(route, conversation or call.request_id))
        target = await model.target(version)
        if version and not target.version:
            self._wiring.metrics.unloaded.labels(model.name).inc()
        answering = msgspec.structs.replace(info, version=target.version or info.version)
        inference = InferenceRequest(
            tenant=call.principal.tenant,
            principal=call.principal.id,
            conversation=conversation,
            secret="" if conversation else call.headers.get("authorization", ""),
            model=model.name,
            info=answering,
            request=ModelRequest(
                request_id=call.request_id,
                operation=operation,
                body=target.body(body),
                version=target.sent_version,
            ),
        )
        relayed = isinstance(request, OpenRequest)
        answer = answer_of(inference, int(time.time()), relayed=relayed, include_usage=request.include_usage)
        running = Inference(self._wiring, target.backend, inference, answer)
        await running.run(call.reply)
        if route is not None and target.version != route.challenger and in_shadow(route, call.request_id):
            self._shadows.challenge(model, inference, route.challenger)
        if inference.tenant != OWN_TENANT:
            settings = self._consistency(inference.tenant)
            if settings.share and is_asked_again(call.request_id, settings.share) and (said := running.answer_text):
                self._shadows.ask_again(model, running.request, said, settings)

    def _route(self, call: Call, model: ServedModel) -> RouteRecord | None:
        """Return the route of the call's tenant to `model`, or None without one."""
        if self._wiring.routes is None or call.principal is None:
            return None
        return self._wiring.routes.route(call.principal.tenant, model.name)

    async def feedback(self, call: Call) -> None:
        """Answer ``POST /v1/feedback``."""
        assert call.principal is not None
        with self._judgments.take():
            body = await read_body(call.receive, call.headers, min(_FEEDBACK_BYTES, self._usual_bytes))
            request = parse(FeedbackRequest, body)
            if request.approved:
                check_scope(call.principal, "review")
            conversation = request.conversation_id or _conversation(call.headers)
            self._judge({conversation: _judgments(request, call.principal)})
            await call.reply.json({"object": "feedback", "request_id": request.request_id, "accepted": True}, 202)

    async def labels(self, call: Call) -> None:
        """Answer ``POST /v1/labels``.

        If the status is 503, a part of the labels may be recorded. The client can send all labels again, because duplicates
        have no effect.
        """
        assert call.principal is not None
        owner, now = {"tenant": call.principal.tenant, "principal": call.principal.id}, time.time()
        with self._judgments.take():
            request = parse(LabelsRequest, await read_body(call.receive, call.headers, self._usual_bytes))
            by_conversation: dict[str, list[Judgment]] = {}
            for label in request.labels:
                by_conversation.setdefault(label.conversation_id or "", []).append(label.record(**owner, now=now))
            self._judge(by_conversation)
            await call.reply.json({"object": "labels", "accepted": len(request.labels)}, 202)

    def _judge(self, by_conversation: dict[str, list[Judgment]]) -> None:
        """Record judgments, by the conversation of their requests; raises ApiError 503 if they cannot be recorded."""
        recorder = self._wiring.recorder
        if recorder is None:
            raise unavailable("capture.enabled is false, so feedback is not recorded; enable it.", code="capture_off")
        traceparent = traceparent_of(trace.get_current_span())
        try:
            for conversation, records in by_conversation.items():
                recorder.judge(*records, conversation_id=conversation, traceparent=traceparent)
        except CaptureError as error:
            raise unavailable(
                f"The feedback cannot be recorded now: {error}", code="spool_full", retry_after_seconds=5
            ) from None

    async def models(self, call: Call) -> None:
        """Answer ``GET /v1/models``, with each model's current description, or its last description if the backend is lost."""
        await self._lost_models()
        cards = [model.card(self._created, self._route(call, model)) for model in self._models]
        await call.reply.json({"object": "list", "data": cards})

    async def model(self, call: Call) -> None:
        """Answer ``GET /v1/models/{id}``; the id may contain slashes."""
        model = self._models.find(call.model)
        with suppress(BackendLost):
            await model.refresh()
        await call.reply.json(model.card(self._created, self._route(call, model)))

    async def healthz(self, call: Call) -> None:
        """Answer ``GET /healthz``: this process is alive."""
        await call.reply.json({"status": "ok"})

    async def readyz(self, call: Call) -> None:
        """Answer ``GET /readyz``: all models are loaded and the next request can be recorded, with or without Kafka."""
        reasons = {}
        if lost := await self._lost_models():
            reasons["model"] = "; ".join(lost)
        if self._wiring.recorder is not None and not self._wiring.recorder.writable():
            reasons["spool"] = "full or not writable"
        if reasons:
            await call.reply.json({"status": "unready", "reasons": reasons}, 503, {"retry-after": "2"})
            return
        await call.reply.json({"status": "ready"})

    async def _lost_models(self) -> list[str]:
        async def problem(model: ServedModel) -> str:
            try:
                await model.refresh()
            except BackendLost as lost:
                return f"{model.name}: no replica answers ({lost.kind})"
            return ""

        return [text for text in await asyncio.gather(*map(problem, self._models)) if text]


def _check_length(body: dict[str, Any], info: ModelInfo) -> None:
    """Reject a `max_tokens` that is too large for any prompt; the replica checks the sum of prompt tokens and `max_tokens`."""
    param = "max_completion_tokens" if body.get("max_completion_tokens") else "max_tokens"
    limit = body.get(param)
    if info.context_length and type(limit) is int and limit >= info.context_length:
        raise invalid(
            f"{param} is {limit}; with the prompt the limit is {info.context_length} tokens. Reduce {param}.",
            code="context_length_exceeded",
            param=param,
        )


def _judgments(request: FeedbackRequest, principal: Principal) -> list[Judgment]:
    """Return the feedback without content, and the correction with it; each only if the request has one."""
    owner: dict[str, Any] = {"request_id": request.request_id, "tenant": principal.tenant, "principal": principal.id}
    found: list[Judgment] = []
    if request.has_content:
        found.append(
            CorrectionRecord(
                **owner,
                at=canonical_time(time.time()),
                answer=request.correction or "",
                comment=request.comment or "",
                approved=bool(request.approved),
            )
        )
    if request.rating is not None or request.label is not None:
        found.append(
            Feedback(
                **owner,
                rating="" if request.rating is None else str(request.rating),
                label=request.label or "",
                detector=request.detector or "",
                alert_id=request.alert_id or "",
            )
        )
    return found


def _conversation(headers: Headers) -> str:
    named = headers.get("x-weir-conversation-id", "")
    with suppress(UnicodeError):  # most clients send UTF-8, and headers are decoded as Latin-1
        named = named.encode("latin-1").decode()
    if len(named) > NAME_CHARACTERS:
        raise invalid(
            f"x-weir-conversation-id has {len(named)} characters, the limit is {NAME_CHARACTERS}; shorten it.",
            param="x-weir-conversation-id",
        )
    return named
