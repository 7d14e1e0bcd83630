"""One inference from its acceptance to its end: captured before, captured after, measured, traced, answered.

The order is the promise (design decision 1): the request record is written before inference begins, the end record before
the last byte or ``[DONE]``. Whatever happens between them, an end is handed over: a client that went away, a replica
that died, a fault of our own.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import Protocol

import msgspec
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from serving.errors import CaptureError
from serving.gateway.metrics import Instruments, Outcome
from serving.http import Reply
from serving.inference_records import Asked, EndStatus, request_attributes, request_record, response_record
from serving.openai_api.errors import ApiError, unavailable
from serving.openai_api.responses import Answer
from serving.replica.generation import Backend, Piece, Refusal, ReplicaLost, counted
from stream.telemetry import traceparent_of, tracestate_of
from stream.wire import MAX_COUNT, OWN_TENANT, ErrorInfo, RequestRecord, ResponseRecord, semconv

__all__ = ["Capture", "Exchange", "Wiring"]

_LOG = logging.getLogger(__name__)


class Capture(Protocol):
    """What the gateway asks of the recorder (serving.capture)."""

    async def request(self, record: RequestRecord, *, traceparent: str, tracestate: str = "") -> object:
        """Write the request's record; raises SpoolFull where it was not accepted."""

    async def end(self, record: ResponseRecord, *, traceparent: str = "") -> object:
        """Write how the request ended."""

    def end_nowait(self, record: ResponseRecord, *, traceparent: str = "") -> object:
        """Hand over how the request ended, where nothing can be awaited any more."""


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """What every exchange of a gateway shares.

    Parameters
    ----------
    capture
        None where nothing is recorded.
    owed_input, owed_output
        Detectors that owe a verdict on prompts and on answers.
    context_characters
        Characters of its prompt that the record of an answer carries.
    topic
        Where the content of a request is found, which its span names in the content's place.
    """

    backend: Backend
    capture: Capture | None
    instruments: Instruments
    tracer: Tracer
    owed_input: tuple[str, ...] = ()
    owed_output: tuple[str, ...] = ()
    context_characters: int = 0
    topic: str = "weir.inference"


class Exchange:
    """One inference.

    Parameters
    ----------
    wiring
        What the gateway's exchanges share.
    asked
        What is asked, by whom.
    answer
        How the answer is written.
    """

    def __init__(self, wiring: Wiring, asked: Asked, answer: Answer) -> None:
        self._wiring = wiring
        self._asked = asked
        self._generation = asked.generation
        self._answer = answer
        self._started = time.perf_counter()
        self._first_token: float | None = None
        self._texts: list[str] = []
        self._last = Piece(text="")
        self._ended = False
        self._span: trace.Span = trace.INVALID_SPAN

    async def run(self, reply: Reply) -> None:
        """Answer; an error that the client is to see is raised as ApiError.

        Raises
        ------
        ApiError
            The request was not accepted, was refused by the model, or its replica died.
        """
        topic = self._wiring.topic if self._wiring.capture else ""
        with self._wiring.tracer.start_as_current_span(
            f"{self._asked.operation} {self._asked.model}",
            kind=SpanKind.CLIENT,
            attributes=request_attributes(self._asked, topic),
            record_exception=False,
        ) as self._span:
            try:
                await self._accept()
                await self._generate(reply)
            except (asyncio.CancelledError, GeneratorExit):
                self._end_nowait("cancelled", ErrorInfo(kind="client_disconnected", status=499))
                raise
            except ApiError:
                raise
            except Exception as error:  # a fault of ours, of any kind: the request still gets its end
                self._end_nowait("error", ErrorInfo(kind=type(error).__name__, status=500))
                raise

    async def _accept(self) -> None:
        """Write the request's record; only then is the request accepted."""
        if self._wiring.capture is None:
            return
        try:
            with self._capture_span("capture request"):
                await self._wiring.capture.request(
                    request_record(self._asked, self._wiring.owed_input),
                    traceparent=traceparent_of(self._span),
                    tracestate=tracestate_of(self._span),
                )
        except CaptureError as full:
            self._ended = True
            self._fail("spool_full")
            raise unavailable(
                "The spool takes no more, and Weir is set to serve nothing that it cannot record"
                " (capture.on_full=reject); try again later.",
                code="spool_full",
                retry_after_seconds=getattr(full, "retry_after_seconds", 5),
            ) from None

    async def _generate(self, reply: Reply) -> None:
        streaming = self._generation.stream
        try:
            async with aclosing(self._wiring.backend.generate(self._generation)) as items:
                async for item in items:
                    if isinstance(item, Refusal):
                        await self._refused(item)
                    else:
                        piece = self._take(item)
                        if streaming:
                            await self._send_piece(reply, piece)
        except ReplicaLost as lost:
            await self._aborted(lost.kind)
        if self._last.finish_reason is None:
            await self._aborted("StreamEnded")
        await self._end("complete", None)
        if streaming:
            await reply.done()
        else:
            await reply.json(self._whole())

    def _take(self, item: Piece) -> Piece:
        piece = counted(item)
        if piece is not item and piece.finish_reason is not None:
            _LOG.warning(
                "request %s: the engine's token counts are not all from 0 to %d; the others are taken as 0",
                self._asked.caller.request_id,
                MAX_COUNT,
            )
        if self._first_token is None:
            self._first_token = time.perf_counter() - self._started
        if piece.text:
            self._texts.append(piece.text)
        self._last = piece
        return piece

    async def _send_piece(self, reply: Reply, piece: Piece) -> None:
        answer = self._answer
        events = []
        if not reply.started:
            await reply.start_events()
            events.append(answer.first_chunk())
        if piece.text:
            events.append(answer.text_chunk(piece.text))
        if piece.finish_reason is not None:
            events.append(answer.finish_chunk(piece.finish_reason))
            events.append(answer.usage_chunk(piece.prompt_tokens, piece.completion_tokens))
        if present := [event for event in events if event is not None]:
            await reply.event(*present)

    def _whole(self) -> dict[str, object]:
        last = self._last
        return self._answer.whole(
            "".join(self._texts), str(last.finish_reason), last.prompt_tokens, last.completion_tokens
        )

    async def _refused(self, refusal: Refusal) -> None:
        await self._end("error", ErrorInfo(kind=refusal.code, status=refusal.status))
        if refusal.status >= 500:
            raise unavailable(refusal.message, code=refusal.code)
        param = "messages" if self._generation.messages else "prompt"
        raise ApiError(refusal.status, refusal.message, code=refusal.code, param=param)

    async def _aborted(self, kind: str) -> None:
        _LOG.warning("request %s was aborted: its model replica was lost (%s)", self._asked.caller.request_id, kind)
        await self._end("aborted", ErrorInfo(kind="model_replica_lost", status=503))
        raise unavailable(
            "The model replica that held this request was lost; another is being started. Send the request again.",
            code="model_replica_lost",
        )

    async def _end(self, status: EndStatus, error: ErrorInfo | None) -> None:
        record = self._conclude(status, error)
        if record is None or self._wiring.capture is None:
            return
        with self._capture_span("capture end"):
            await self._wiring.capture.end(record, traceparent=traceparent_of(self._span))

    def _end_nowait(self, status: EndStatus, error: ErrorInfo) -> None:
        record = self._conclude(status, error)
        if record is not None and self._wiring.capture is not None:
            self._wiring.capture.end_nowait(record, traceparent=traceparent_of(self._span))

    def _conclude(self, status: EndStatus, error: ErrorInfo | None) -> ResponseRecord | None:
        """Close the books of this exchange, once; return what is to be recorded."""
        if self._ended:
            return None
        self._ended = True
        seconds = time.perf_counter() - self._started
        last = self._last
        outcome = Outcome(
            operation=self._asked.operation,
            model=self._asked.model,
            status=status,
            error_type=error.kind if error else "",
            seconds=seconds,
            first_token_seconds=self._first_token,
            prompt_tokens=last.prompt_tokens,
            completion_tokens=last.completion_tokens,
        )
        # Sentinels are no user's traffic, tokens or latency: they count their own.
        if self._asked.caller.tenant != OWN_TENANT:
            self._wiring.instruments.ended(outcome)
        self._describe_end(outcome)
        return response_record(
            self._asked,
            status=status,
            error=error,
            text="".join(self._texts),
            last=last,
            latency_seconds=seconds,
            first_token_seconds=self._first_token,
            owed=self._wiring.owed_output,
            context_characters=self._wiring.context_characters,
        )

    def _describe_end(self, outcome: Outcome) -> None:
        span = self._span
        span.set_attribute(semconv.GEN_AI_RESPONSE_ID, self._answer.id)
        span.set_attribute(semconv.GEN_AI_RESPONSE_MODEL, f"{self._asked.model}@{self._asked.info.version}")
        span.set_attribute(semconv.GEN_AI_USAGE_INPUT_TOKENS, outcome.prompt_tokens)
        span.set_attribute(semconv.GEN_AI_USAGE_OUTPUT_TOKENS, outcome.completion_tokens)
        if self._last.finish_reason is not None:
            span.set_attribute(semconv.GEN_AI_RESPONSE_FINISH_REASONS, [self._last.finish_reason])
        if outcome.first_token_seconds is not None:
            span.set_attribute(semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, outcome.first_token_seconds)
        if outcome.error_type:
            self._fail(outcome.error_type)

    def _fail(self, kind: str) -> None:
        self._span.set_attribute(semconv.ERROR_TYPE, kind)
        self._span.set_status(Status(StatusCode.ERROR, kind))

    @contextmanager
    def _capture_span(self, name: str) -> Iterator[None]:
        with self._wiring.tracer.start_as_current_span(name, kind=SpanKind.INTERNAL, record_exception=False):
            yield
