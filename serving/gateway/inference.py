"""One inference from its acceptance to its end: record, measure, trace and answer it.

The request record is written before the inference begins, and the end record before the last byte or ``[DONE]``
(docs/design/decisions.md). Every accepted request gets an end record, also after a disconnect, a lost replica or an internal error.
"""

import asyncio
import logging
import time
from contextlib import aclosing
from dataclasses import replace
from typing import Any, NoReturn

import msgspec
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from serving.backend import MODEL_VERSION, Backend, BackendLost, OpenAIChunk, RejectedRequest
from serving.capture.recorder import Recorder
from serving.errors import CaptureError, SpoolFull
from serving.gateway.guard import AnswerGuard, Guards
from serving.gateway.metrics import GatewayMetrics, Outcome
from serving.gateway.tenant_settings import Tenants
from serving.http import ClientStalled, Reply
from serving.inference_records import (
    EndStatus,
    ExpectedVerdicts,
    InferenceRequest,
    request_attributes,
    request_record,
    response_record,
)
from serving.openai_api.accumulator import MAX_CALLS, MAX_CHOICES
from serving.openai_api.answer import Answer, ChatAnswer, CompletionAnswer, RelayedAnswer
from serving.openai_api.errors import ApiError, unavailable
from serving.routes import RouteTable
from stream.telemetry import traceparent_of, tracestate_of
from stream.wire import MAX_COUNT, OWN_TENANT, ErrorInfo, RequestRecord, semconv

_LOG = logging.getLogger(__name__)
#: The usual statuses for a request whose client disconnected, and for an internal error.
_CLIENT_CLOSED_REQUEST = 499
_INTERNAL_ERROR = 500
_UNAVAILABLE = 503
_BAD_GATEWAY = 502
#: The operations whose answers a replica of Weir can generate.
GENERATED: dict[str, type[ChatAnswer | CompletionAnswer]] = {"chat": ChatAnswer, "text_completion": CompletionAnswer}


def answer_of(request: InferenceRequest, created: int, *, relayed: bool, include_usage: bool) -> Answer:
    """Return what formats the response to `request`; if `relayed`, the engine's own response is sent."""
    if relayed:
        return RelayedAnswer(request.request_id, request.model, request.operation, include_usage=include_usage)
    kind = GENERATED[request.operation]
    return kind(request.request_id, request.model, request.info.version, created, include_usage=include_usage)


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """Objects that all inferences of a gateway share.

    `recorder` is None if capture is off, and `guards` is None if no tenant has a guard. `topic` is written into spans. If
    `routes` is None, base versions answer. `tenants` select the requests that are asked again.
    """

    recorder: Recorder | None
    metrics: GatewayMetrics
    tracer: Tracer
    expected: ExpectedVerdicts
    topic: str
    guards: Guards | None = None
    routes: RouteTable | None = None
    tenants: Tenants = {}


class Inference:
    """One inference on `backend`; `answer` formats the response to the client."""

    def __init__(self, wiring: Wiring, backend: Backend, request: InferenceRequest, answer: Answer) -> None:
        self._wiring = wiring
        self._backend = backend
        self._request = request
        self._answer = answer
        self._started = time.perf_counter()
        self._first_token: float | None = None
        self._so_far = answer.accumulator()
        guards = wiring.guards
        self._guard = None if guards is None or request.shadow_of else guards.answer(request.tenant)
        #: None if capture is off, and before the request is accepted.
        self._asked: RequestRecord | None = None
        self._ended = False
        self._span: trace.Span = trace.INVALID_SPAN

    async def run(self, reply: Reply) -> None:
        """Generate and send the answer; raises ApiError if capture or the model rejects the request, or if the replica is lost."""
        topic = self._wiring.topic if self._wiring.recorder else ""
        with self._wiring.tracer.start_as_current_span(
            f"{self._request.operation} {self._request.model}",
            kind=SpanKind.CLIENT,
            attributes=request_attributes(self._request, topic),
            record_exception=False,
            set_status_on_exception=False,  # an exception's message may contain text; see _fail
        ) as self._span:
            try:
                self._accept()
                await self._generate(reply)
            except (asyncio.CancelledError, GeneratorExit):
                self._end("cancelled", ErrorInfo(kind="client_disconnected", status=_CLIENT_CLOSED_REQUEST))
                raise
            except ClientStalled as stalled:
                self._end("cancelled", ErrorInfo(kind=stalled.code, status=stalled.status))
                raise
            except ApiError:
                raise
            except Exception as error:  # an internal error of any kind: the request still gets its end
                self._end("error", ErrorInfo(kind=type(error).__name__, status=_INTERNAL_ERROR))
                raise

    @property
    def request(self) -> InferenceRequest:
        """The request, with the version that answers it."""
        return self._request

    @property
    def answer_text(self) -> str:
        """The text of the first choice that the user received; "" before the end, and if the guard stopped the answer."""
        if not self._ended or self._so_far.stopped:
            return ""
        return next((choice.text for choice in self._so_far.recorded()), "")

    def _accept(self) -> None:
        """Write the request record; the request is accepted when this method returns."""
        if self._wiring.recorder is None:
            return
        self._asked = request_record(self._request, self._wiring.expected)
        try:
            self._wiring.recorder.request(
                self._asked,
                traceparent=traceparent_of(self._span),
                tracestate=tracestate_of(self._span),
            )
        except CaptureError:
            self._ended = True
            self._fail("spool_full")
            raise unavailable(
                "The request cannot be recorded now: the spool is full, or its disk fails. Send the request again later.",
                code="spool_full",
                retry_after_seconds=SpoolFull.retry_after_seconds,
            ) from None

    async def _generate(self, reply: Reply) -> None:
        reply.headers["x-weir-model-version"] = self._request.info.version
        try:
            async with aclosing(self._backend.generate(self._request.request)) as items:
                async for item in items:
                    if isinstance(item, RejectedRequest):
                        self._reject(item)
                    self._answered_by(item.get(MODEL_VERSION), reply)
                    if await self._take(item):
                        break
                    if self._request.request.stream:
                        await self._send(reply, self._answer.chunk(item))
                        if self._guard is not None:
                            self._guard.sent()
        except BackendLost as lost:
            self._abort(lost.kind)
        if self._guard is not None and await self._guard.finish():
            await self._stop(self._guard, reply)
        else:
            await self._complete(reply)

    def _answered_by(self, version: str | None, reply: Reply) -> None:
        """Keep the version that answers, if its replica has not loaded the version that the route named."""
        if version is None or version == self._request.info.version:
            return
        self._request = replace(self._request, info=msgspec.structs.replace(self._request.info, version=version))
        self._answer.answered_by(version)
        reply.headers["x-weir-model-version"] = version

    async def _complete(self, reply: Reply) -> None:
        if not (self._answer.relayed or self._so_far.finished):
            self._abort("StreamEnded")
        self._check_counts()
        if self._so_far.failed:
            self._end("error", ErrorInfo(kind="upstream_error", status=_BAD_GATEWAY))
        self._end("complete")
        if self._request.request.stream:
            await self._send(reply, self._answer.usage_chunk(self._so_far.usage))
            if not reply.started:
                await reply.start_events()
            await reply.done(marker=self._answer.has_done)
        else:
            await reply.json(self._answer.whole(self._so_far))

    async def _take(self, chunk: OpenAIChunk) -> bool:
        """Add a chunk to the answer before it is sent; return whether the guard stops the answer."""
        texts = self._so_far.add(chunk)
        # Other servers begin a stream with chunks that have no text, some seconds before the first token, and an answer
        # that is not a stream arrives as a whole.
        stream = self._request.request.stream
        has_token = texts or self._so_far.finished if stream else not self._answer.relayed
        if self._first_token is None and has_token:
            self._first_token = time.perf_counter() - self._started
        guard = self._guard
        if guard is None:
            return False
        must_stop = await guard.push(texts, self._so_far.usage.completion_tokens)
        return must_stop or await guard.finish(self._so_far.ended)

    async def _stop(self, guard: AnswerGuard, reply: Reply) -> None:
        """Record and send an answer that the guard stopped.

        The record contains all text so far; a response that is not a stream contains only the text before the finding.
        """
        harmless = guard.harmless_characters()
        self._so_far.stop({choice for choice, _ in harmless})
        self._end("complete")
        if self._request.request.stream:
            await self._send(reply, self._answer.stopped_chunk(self._so_far))
            await self._send(reply, self._answer.stopped_usage_chunk(self._so_far))
            await reply.done(marker=self._answer.has_done)
        else:
            for (choice, part), characters in harmless.items():
                self._so_far.cut(choice, part, characters)
            await reply.json(self._answer.whole(self._so_far))

    def _check_counts(self) -> None:
        if self._so_far.invalid_counts:
            _LOG.warning(
                "request %s: the engine's token counts are not all from 0 to %d; the others are recorded as 0",
                self._request.request_id,
                MAX_COUNT,
            )
        if self._so_far.ignored:
            _LOG.warning(
                "request %s: %d pieces of choices or tool calls are not recorded: their index is invalid, or there are more than %d choices or %d calls",
                self._request.request_id,
                self._so_far.ignored,
                MAX_CHOICES,
                MAX_CALLS,
            )

    async def _send(self, reply: Reply, event: dict[str, Any] | None) -> None:
        if event is None:
            return
        if not reply.started:
            await reply.start_events()
        await reply.event(event, self._answer.event_name(event))

    def _reject(self, rejected: RejectedRequest) -> NoReturn:
        self._end("error", ErrorInfo(kind=rejected.code, status=rejected.status))
        seconds = rejected.retry_after_seconds
        if seconds is None and rejected.status == _UNAVAILABLE and rejected.body is None:
            seconds = 1
        raise ApiError(
            rejected.status,
            rejected.message,
            code=rejected.code,
            param=rejected.param,
            headers=None if seconds is None else {"retry-after": str(seconds)},
            body=rejected.body,
        )

    def _abort(self, kind: str) -> NoReturn:
        _LOG.warning("request %s was aborted: its model replica was lost (%s)", self._request.request_id, kind)
        error = unavailable(
            "The model replica that generated this answer was lost; another is being started. Send the request again.",
            code="model_replica_lost",
        )
        self._end("aborted", ErrorInfo(kind=error.code, status=error.status))
        raise error

    def _end(self, status: EndStatus, error: ErrorInfo | None = None) -> None:
        """Record how the inference ended; only the first call counts. Not async, because a cancelled task cannot await."""
        if self._ended:
            return
        self._ended = True
        seconds = time.perf_counter() - self._started
        self._measure(status, error, seconds)
        if self._wiring.recorder is None or self._asked is None:
            return
        record = response_record(
            self._request,
            self._asked,
            self._wiring.expected,
            status=status,
            error=error,
            choices=self._so_far.recorded(),
            usage=self._so_far.usage,
            latency_seconds=seconds,
            first_token_seconds=self._first_token,
            guard=self._guard.hit if self._guard is not None else None,
        )
        try:
            self._wiring.recorder.end(record)
        except (UnicodeError, ValueError, RecursionError):  # an answer that cannot be encoded still gets its end
            _LOG.warning("request %s: its answer cannot be encoded; its end is recorded without it", record.request_id)
            record = msgspec.structs.replace(record, messages=(), context=(), instructions=(), owed=())
            self._wiring.recorder.end(record)

    def _measure(self, status: EndStatus, error: ErrorInfo | None, seconds: float) -> None:
        outcome = Outcome(
            operation=self._request.operation,
            model=self._request.model,
            status=status,
            error_type=error.kind if error else "",
            failed=error is not None and error.status >= _INTERNAL_ERROR,
            seconds=seconds,
            first_token_seconds=self._first_token,
            prompt_tokens=self._so_far.usage.prompt_tokens,
            completion_tokens=self._so_far.usage.completion_tokens,
        )
        if self._request.tenant != OWN_TENANT and not self._request.shadow_of:  # no user's traffic
            self._wiring.metrics.ended(outcome)
        self._describe_end(outcome)

    def _describe_end(self, outcome: Outcome) -> None:
        span = self._span
        span.set_attribute(semconv.GEN_AI_RESPONSE_ID, self._so_far.response_id or self._answer.id)
        span.set_attribute(semconv.GEN_AI_RESPONSE_MODEL, f"{self._request.model}@{self._request.info.version}")
        if outcome.prompt_tokens or outcome.completion_tokens:  # else unknown: an upstream can send none
            span.set_attribute(semconv.GEN_AI_USAGE_INPUT_TOKENS, outcome.prompt_tokens)
            span.set_attribute(semconv.GEN_AI_USAGE_OUTPUT_TOKENS, outcome.completion_tokens)
        if reasons := self._so_far.finish_reasons:
            span.set_attribute(semconv.GEN_AI_RESPONSE_FINISH_REASONS, reasons)
        if outcome.first_token_seconds is not None:
            span.set_attribute(semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, outcome.first_token_seconds)
        if self._guard is not None and (hit := self._guard.hit) is not None:
            span.set_attribute(semconv.WEIR_GUARD_DETECTOR, hit.detector)
            span.set_attribute(semconv.WEIR_GUARD_STOPPED, hit.stopped)
            span.set_attribute(semconv.WEIR_GUARD_EXPOSED_TOKENS, hit.exposed_tokens)
        if outcome.error_type:
            self._fail(outcome.error_type)

    def _fail(self, kind: str) -> None:
        self._span.set_attribute(semconv.ERROR_TYPE, kind)
        self._span.set_status(Status(StatusCode.ERROR, kind))
