"""The watch agent: reads signals and ticks, publishes findings, writes the state, then acknowledges."""

import asyncio
import logging
from functools import partial
from typing import Any

import msgspec

from stream.errors import StateUnreadable
from stream.runbook import SILENCE
from stream.runtime.table import AckedTable
from stream.settings import WatchSettings
from stream.stages.shared.metrics import detector_label
from stream.stages.shared.spans import mark
from stream.stages.shared.stage import Stage, StageContext
from stream.stages.shared.state_codec import encode
from stream.stages.watch.buckets import Offer
from stream.stages.watch.machine import ClosedStream, PartitionWatch, WatchRules
from stream.stages.watch.records import RESET, sentinel_note, watermark_tick
from stream.stages.watch.source_liveness import OWN_STREAM, LivenessRules, SourceLiveness
from stream.stages.watch.state import SourcesState, decode_liveness, decode_sources, liveness_key, sources_key
from stream.wire import (
    OWN_TENANT,
    Event,
    FindingRecord,
    Signal,
    Tick,
    partition_for,
    semconv,
    side_and_part,
)

logger = logging.getLogger(__name__)
#: Event time between two ticks to findings.
_TICK_SECONDS = 1.0
#: Event time between two writes of the watermark while its sources stay the same; a restart reads later ticks again.
_KEEP_SECONDS = 30.0
#: Number of states that are loaded before other tasks can run.
_LOADED_AT_ONCE = 100


class _Partition:
    """One signals partition since its last assignment; only the partition that checks for inactive sources has a `liveness`."""

    def __init__(self, number: int, machine: PartitionWatch, liveness: SourceLiveness | None) -> None:
        self.number = number
        self.machine = machine
        self.liveness = liveness
        self.sources = machine.watermark.live()
        self.kept = machine.watermark.value
        self.forwarded: float | None = None


class WatchStage(Stage):
    """Turns signals into findings; its table has the same partitions as signals."""

    name = "watch"

    def __init__(self, context: StageContext, table: AckedTable, settings: WatchSettings, rules: WatchRules) -> None:
        super().__init__(context, table)
        self._settings = settings
        self._rules = rules
        own = context.tenants(OWN_TENANT)
        self._liveness_rules = LivenessRules.of(context.kafka, own, settings.source_silence_seconds)

    def held(self) -> int:
        """Return the number of events in open buckets, which are not acknowledged yet."""
        return sum(partition.machine.open.tokens for _, partition in self._partitions.values())

    async def handle(self, batch: list[Any]) -> None:
        """Process raw events of the signals topic, in order."""
        for raw in batch:
            if not self._app.is_current(raw):
                continue
            partition = await self._partition(raw)
            event = await self._context.read(raw, self.name)
            if event is not None and isinstance(event.data, Signal):
                await self._signal(partition, event, raw)
            elif event is not None and isinstance(event.data, Tick):
                await self._tick(partition, event.data, raw)
            else:
                self._app.acknowledge(raw)

    async def _signal(self, partition: _Partition, event: Event, raw: Any) -> None:
        machine = partition.machine
        offer = await self._context.guarded(raw, self.name, partial(machine.offer, event, raw), None)
        if offer is Offer.HELD:
            while self.held() > self._settings.outstanding_events and await self._relieve(partition, raw):
                pass
            return
        if offer is Offer.LATE and raw.message.offset > machine.offset:  # else a duplicate after a restart
            self._context.metrics.late.inc()
        self._app.acknowledge(raw)

    async def _relieve(self, partition: _Partition, raw: Any) -> bool:
        """Discard a window that is far ahead, on any partition; else close one of `partition` early, if it has one."""
        each = [one for _, one in self._partitions.values()]
        partition = next((one for one in each if one.machine.far_ahead() is not None), partition)
        closed = partition.machine.relieve()
        if closed is None:
            return False
        self._context.metrics.relieved.inc()
        if not closed.state:
            self._context.metrics.late.inc(len(closed.tokens))
        logger.warning(
            "open windows have more than watch.outstanding_events = %d events; the %s",
            self._settings.outstanding_events,
            "oldest is closed early"
            if closed.state
            else "newest is discarded: its events are far ahead of the other sources",
        )
        await self._finish(partition, closed, raw)
        return True

    async def _tick(self, partition: _Partition, tick: Tick, raw: Any) -> None:
        await self._remove_surplus(partition, raw)
        moved = partition.machine.tick(tick, raw.message.offset)
        if partition.liveness is not None:
            await self._check_liveness(partition, partition.liveness, tick, raw)
        if moved:
            closed = []
            for stream in partition.machine.closed():
                closed.append(stream)
                await asyncio.sleep(0)
            await asyncio.gather(*(self._finish(partition, stream, raw) for stream in closed))
            await self._forward(partition)
        await self._keep_sources(partition, raw)
        if self._app.is_current(raw):
            self._observe(partition)
        self._app.acknowledge(raw)

    async def _remove_surplus(self, partition: _Partition, raw: Any) -> None:
        """Write the watermark, then delete the surplus streams: by this watermark, their events are late if they are read again."""
        if removed := partition.machine.remove_surplus():
            partition.kept = None  # the write is due
            await self._keep_sources(partition, raw)
        for key in removed:
            if self._app.is_current(raw):
                await self._table.remove(key.encode(), partition=partition.number)

    async def _check_liveness(self, partition: _Partition, liveness: SourceLiveness, tick: Tick, raw: Any) -> None:
        """Publish findings about inactive sources, then write the state, once per bucket; the caller acknowledges the tick."""
        for event in liveness.apply(tick, raw.message.offset):
            await self._publish(event, partition.number)
        if liveness.dirty and self._app.is_current(raw):
            key = liveness_key(partition.number).encode()
            await self._table.put(key, liveness.snapshot(), partition=partition.number)

    async def _finish(self, partition: _Partition, closed: ClosedStream, raw: Any) -> None:
        """Publish the findings of a stream, write its state, then acknowledge; each step is awaited."""
        for event in closed.findings:
            await self._publish(event, partition.number)
            if (note := sentinel_note(event)) is not None:
                for number in range(self._context.kafka.stream_partitions):
                    await self._context.publish(self._context.names.findings, note, number)
        if not self._app.is_current(raw):
            return
        if closed.state:
            await self._table.put(closed.key.encode(), closed.state, partition=partition.number)
        for token in closed.tokens:
            self._app.acknowledge(token)

    async def _publish(self, event: Event, number: int) -> None:
        self._count(event)
        await self._context.publish(self._context.names.findings, self._traced(event), number)

    async def _forward(self, partition: _Partition) -> None:
        """Publish the watermark for the alert stage, at most once per second of event time."""
        watermark = partition.machine.watermark.value
        assert watermark is not None
        if partition.forwarded is not None and watermark < partition.forwarded + _TICK_SECONDS:
            return
        partition.forwarded = watermark
        tick = watermark_tick(partition.number, watermark)
        await self._context.publish(self._context.names.findings, tick, partition.number)

    async def _keep_sources(self, partition: _Partition, raw: Any) -> None:
        """Write watermark and sources if the sources changed or the last write is old; a restart continues from both."""
        watermark = partition.machine.watermark
        live, value = watermark.live(), watermark.value
        due = value is not None and (partition.kept is None or value >= partition.kept + _KEEP_SECONDS)
        if (live != partition.sources or due) and self._app.is_current(raw):
            state = SourcesState(offset=partition.machine.offset, lanes=watermark.lanes, value=value)
            key = sources_key(partition.number).encode()
            await self._table.put(key, encode(state), partition=partition.number)
            partition.sources, partition.kept = live, value

    def _traced(self, event: Event) -> Event:
        """Return the event of a finding. An alarm gets a new span, a child of the strongest evidence's span."""
        finding = event.data
        assert isinstance(finding, FindingRecord)
        if not finding.alarm:
            return event
        attributes: dict[str, str | float] = {
            semconv.WEIR_DETECTOR: finding.detector,
            semconv.WEIR_DETECTOR_VERSION: finding.version,
            semconv.WEIR_TENANT: finding.tenant,
            semconv.GEN_AI_EVALUATION_NAME: finding.detector,
            semconv.GEN_AI_EVALUATION_SCORE_VALUE: finding.score,
            semconv.GEN_AI_EVALUATION_SCORE_LABEL: "alarm",
            "weir.bucket": float(finding.bucket or 0),
            "weir.events": float(finding.events),
        }
        context = mark(
            self._context.tracer, f"evaluate {finding.detector}", event.traceparent, finding.traces[1:], attributes
        )
        return msgspec.structs.replace(event, traceparent=context)

    def _count(self, event: Event) -> None:
        finding = event.data
        assert isinstance(finding, FindingRecord)
        label = detector_label(finding.detector)
        if finding.feature == RESET:
            self._context.metrics.resets.labels(label).inc()
            return
        self._context.metrics.findings.labels(label, str(finding.alarm).lower()).inc()
        if finding.detector != SILENCE:  # a source is not a stream
            side = side_and_part(finding.side, finding.part, finding.model_version)
            stream = (finding.tenant, finding.model, side, label)
            self._context.metrics.streams.show(stream, finding.statistic, finding.limit)

    def _observe(self, partition: _Partition) -> None:
        metrics, number, watermark = self._context.metrics, str(partition.number), partition.machine.watermark
        metrics.lag.labels(number).set(watermark.lag_seconds)
        metrics.released.labels(number).set(len(watermark.released()))

    async def _load(self, partition: int, offset: int) -> _Partition:
        known = self._known(partition)
        await self._context.check_log(self._table, self._context.names.signals, partition, [known.offset])
        machine = PartitionWatch(self._rules, stored=lambda key: self._table.data.get(key.encode()))
        for number, (key, value) in enumerate(self._table.rows(partition)):
            if not key.startswith(b"\0"):  # no stream's state
                machine.load(key.decode(), value)
            if number % _LOADED_AT_ONCE == 0:  # thousands of tenants take seconds, in which heartbeats are due
                self._app.progress()
                await asyncio.sleep(0)
        if lost := machine.lost():
            logger.warning("partition %d: the state of %d streams is rebuilt from the log", partition, len(lost))
            await self._rebuild(machine, partition, offset)
        if machine.resume(known):
            # Buckets that later ticks closed were finished before these ticks were acknowledged.
            async for position, tick in self._context.ticks(partition, range(machine.offset + 1, offset)):
                machine.tick(tick, position)
        return _Partition(partition, machine, await self._load_liveness(partition, offset))

    def _known(self, partition: int) -> SourcesState:
        value = self._table.data.get(sources_key(partition).encode())
        if value is None:
            return SourcesState()
        try:
            return decode_sources(value)
        except StateUnreadable as error:
            logger.warning("partition %d: %s", partition, error)
            return SourcesState()

    async def _load_liveness(self, partition: int, offset: int) -> SourceLiveness | None:
        """Return source liveness as of `offset`; None if `partition` does not contain Weir's own stream.

        Each partition receives the ticks of all sources, and only one publishes findings: one alert for each inactive source.
        """
        if partition != partition_for(OWN_STREAM, self._context.kafka.stream_partitions):
            return None
        value = self._table.data.get(liveness_key(partition).encode())
        liveness = SourceLiveness(self._liveness_rules)
        if value is not None:  # else there was no tick, because the first tick writes the state
            try:
                liveness = SourceLiveness(self._liveness_rules, decode_liveness(value))
            except StateUnreadable as error:
                logger.warning("partition %d: %s", partition, error)
            # The findings of these ticks were published before the ticks were acknowledged.
            async for position, tick in self._context.ticks(partition, range(liveness.offset + 1, offset)):
                liveness.apply(tick, position)
        return liveness

    async def _rebuild(self, machine: PartitionWatch, partition: int, offset: int) -> None:
        replayed = machine.replayer()
        await self._context.rebuild(
            self._context.names.signals, partition, range(offset), lambda event, _offset: replayed.replay(event)
        )
        for key, state in machine.adopt(replayed):
            await self._table.rewrite(key.encode(), state, partition=partition)
