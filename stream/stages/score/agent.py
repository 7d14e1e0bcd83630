"""The score agent: it scores many events concurrently, and acknowledges each after its outputs are published."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from opentelemetry.trace import Span

from stream.content import decode_content
from stream.dead_letters import DeadLetters
from stream.errors import ModelsLost, StreamError
from stream.runtime.app import BaseApp
from stream.runtime.task_window import TaskWindow
from stream.stages.score.batches import Batcher
from stream.stages.score.event_features import embedded
from stream.stages.score.machine import expected_detectors, inference_of, item_of, verdicts
from stream.stages.score.metrics import ScoreMetrics
from stream.stages.score.model_pool import Failed, Outcome, failure_of
from stream.stages.score.model_process import Scored
from stream.stages.score.records import SOURCE, finding_event, signal_events, verdict_event
from stream.stages.score.spans import ScoreSpans
from stream.stages.score.ticks import Forward, TickForwarder, merge_ticks
from stream.telemetry import traceparent_of
from stream.wire import (
    Closed,
    Event,
    RequestRecord,
    ResponseRecord,
    Tick,
    TopicNames,
    Verdict,
    WireError,
    bounded,
    partition_for,
)

_log = logging.getLogger(__name__)


class ScoreParts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts from which the agent is built.

    `version_of` returns the version of a detector by name, for verdicts without a score. After the agent has published
    the verdicts of an event, it calls `explain` with partition, event and verdicts. `embedding_sample` is the share of
    events that are embedded, in [0, 1]; at most `outstanding` events are in flight. `by_part` returns the setting
    ``drift_by_part`` of a tenant, and `name_tools` its setting ``tool_names``.
    """

    batcher: Batcher
    dead_letters: DeadLetters
    spans: ScoreSpans
    metrics: ScoreMetrics
    version_of: Callable[[str], str]
    embedding_sample: float
    outstanding: int
    explain: Callable[[int, Event, Sequence[Verdict]], None] = lambda _partition, _event, _verdicts: None
    by_part: Callable[[str], bool] = lambda _tenant: False
    name_tools: Callable[[str], bool] = lambda _tenant: False


class ScoreAgent:
    """Scores the requests and end records of the inference topic."""

    def __init__(self, app: BaseApp, parts: ScoreParts) -> None:
        self._app = app
        self._parts = parts
        self._names: TopicNames = app.kafka.names
        self._window = TaskWindow(parts.outstanding, self._crash)
        self.ticks = TickForwarder(self._forward)

    async def run(self, stream: Any) -> None:
        """Process records until the stream ends; the body of the Faust agent."""
        async for raw in stream.noack().events():
            await self._take(raw)

    async def watch_lag(self) -> None:
        """Update the gauges of events in flight and of the lag, until cancelled."""
        while True:
            self._parts.metrics.outstanding.set(len(self._window))
            self._parts.metrics.lag.set(sum(self._app.lag().values()))
            await asyncio.sleep(1)

    def _crash(self, error: BaseException) -> None:
        """End the worker, because an event cannot be finished and no commit may pass the offset of this event."""
        cause = error if isinstance(error, StreamError | KafkaError) else StreamError(type(error).__name__)
        _log.critical(
            "an event cannot be finished (%s: %s); ending this worker, its supervisor starts it again",
            type(cause).__name__,
            cause,
        )
        self._app.add_future(self._app.crash(cause))

    async def _take(self, raw: Any) -> None:
        message = raw.message
        try:
            event = bounded(decode_content(message.value, message.headers), message.timestamp)
        except WireError as error:
            self.ticks.opened(message)
            await self._window.run(self._reject(raw, error))
            return
        if isinstance(event.data, Tick | Closed):
            self.ticks.tick(message, event, raw)
            return
        self.ticks.opened(message)
        if isinstance(event.data, RequestRecord | ResponseRecord):
            await self._window.run(self._finish(raw, event))
        else:
            self._acknowledge(raw, "other")

    async def _reject(self, raw: Any, error: WireError) -> None:
        await self._parts.dead_letters.send(
            raw.message, disposition=error.disposition, error=error, place="stream.wire.codec"
        )
        self._acknowledge(raw, "unreadable")

    async def _finish(self, raw: Any, event: Event) -> None:
        """Score an event, publish its outputs, then acknowledge it."""
        span = self._parts.spans.process(raw.message, event)
        try:
            try:
                outcome = await self._score(event, span)
                outputs = self._outputs(event, outcome, span)
            except ModelsLost:
                raise
            except Exception as error:  # noqa: BLE001 - the agent's boundary: only this event becomes a dead letter
                outcome = Failed(disposition="bug", error=type(error).__name__)
                outputs = self._outputs(event, outcome, span)
            if (failed := failure_of(outcome)) is not None:
                await self._parts.dead_letters.send(
                    raw.message,
                    disposition=failed.disposition,
                    error=failed.error,
                    place="stream.stages.score.model_pool",
                )
            try:
                await self._publish(raw.message.partition, outputs)
            except MessageSizeTooLargeError as error:
                await self._parts.dead_letters.send(raw.message, disposition="oversize", error=type(error).__name__)
            found = [output.data for output in outputs if isinstance(output.data, Verdict)]
            self._parts.explain(raw.message.partition, event, found)
        finally:
            span.end()
        self._acknowledge(raw, event.type.split(".")[2])

    async def _score(self, event: Event, span: Span) -> Outcome:
        data = inference_of(event)
        by_part = self._parts.by_part(data.tenant)
        embed = {} if data.shadow_of else embedded(event.id, data, self._parts.embedding_sample, by_part=by_part)
        if not embed and not expected_detectors(data):
            return Scored()
        return await self._parts.batcher.score(item_of(data, embed=embed), span)

    def _outputs(self, event: Event, outcome: Outcome, span: Span) -> list[Event]:
        """Record a span for each verdict of an event; return the verdicts, findings and signals to publish."""
        spent = outcome.spent if isinstance(outcome, Scored) else {}
        found: list[Event] = []
        for verdict in verdicts(event, outcome, self._parts.version_of):
            when = spent.get(verdict.detector)
            traceparent = self._parts.spans.evaluate(span, verdict, when)
            found.append(verdict_event(event, verdict, traceparent))
            finding = finding_event(event, verdict, traceparent)
            found += [finding] if finding is not None else []
            self._parts.metrics.verdict(verdict)
            if when is not None:
                self._parts.metrics.detector_seconds(verdict.detector, (when[1] - when[0]) / 1e9)
        tenant = inference_of(event).tenant
        by_part, name_tools = self._parts.by_part(tenant), self._parts.name_tools(tenant)
        return [*found, *signal_events(event, outcome, traceparent_of(span), by_part=by_part, name_tools=name_tools)]

    async def _publish(self, partition: int, outputs: list[Event]) -> None:
        """Publish all outputs concurrently, and wait until each is acknowledged or rejected; raises the first error."""
        sent = await asyncio.gather(*(self._send(partition, output) for output in outputs), return_exceptions=True)
        for error in sent:
            if error is not None:
                raise error

    async def _send(self, partition: int, output: Event) -> None:
        kind = output.type.split(".")[1]
        keyed = partition_for(output.partitionkey, self._app.kafka.stream_partitions)
        topic, target = {
            "verdict": (self._names.verdicts, partition),
            "finding": (self._names.findings, keyed),
            "signal": (self._names.signals, keyed),
        }[kind]
        await self._app.publisher.publish(topic, output, partition=target, traceparent=output.traceparent)

    def _acknowledge(self, raw: Any, kind: str) -> None:
        self._app.acknowledge(raw)
        self.ticks.acknowledged(raw.message)
        self._parts.metrics.events.labels(kind).inc()

    async def _forward(self, forward: Forward) -> None:
        """Merge ticks of one partition, publish the result to verdicts and signals, then acknowledge the ticks."""
        logged = forward.tokens[-1].message.timestamp
        tick = merge_ticks(forward.partition, forward.offset, forward.events, SOURCE, logged)
        publish = self._app.publisher.publish
        await asyncio.gather(
            publish(self._names.verdicts, tick, partition=forward.partition),
            *(
                publish(self._names.signals, tick, partition=number)
                for number in range(self._app.kafka.stream_partitions)
            ),
        )
        for token in forward.tokens:
            self._app.acknowledge(token)
        self._parts.metrics.ticks.inc()
