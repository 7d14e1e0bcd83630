"""The watch agent: what the machine asks for, in the order that loses nothing: publish, write the state, acknowledge."""

import asyncio
import logging
from functools import partial
from typing import Any

import msgspec

from stream.errors import StateUnreadable
from stream.kafka.range_reader import retained
from stream.runbook import SILENCE
from stream.runtime.table import AckedTable
from stream.settings import WatchSettings
from stream.stages.shared.metrics import detector_label
from stream.stages.shared.spans import mark
from stream.stages.shared.stage import PartitionCache, StageContext, rows
from stream.stages.watch.buckets import Offer
from stream.stages.watch.machine import ClosedStream, PartitionWatch, WatchRules
from stream.stages.watch.records import RESET, WATCH_SOURCE, sentinel_note
from stream.stages.watch.source_liveness import SourceLiveness
from stream.stages.watch.source_liveness_store import SourceLivenessStore
from stream.stages.watch.state import SourcesState, decode_sources, encode, sources_key
from stream.wire import Event, FindingRecord, Signal, Tick, partition_for
from stream.wire.semconv import (
    GEN_AI_EVALUATION_NAME,
    GEN_AI_EVALUATION_SCORE_LABEL,
    GEN_AI_EVALUATION_SCORE_VALUE,
    WEIR_DETECTOR,
    WEIR_DETECTOR_VERSION,
    WEIR_TENANT,
)

__all__ = ["WatchStage"]

logger = logging.getLogger(__name__)
_STAGE = "watch"
#: Log time between two ticks to findings.
_TICK_SECONDS = 1.0
#: Log time between two writes of the watermark, while its sources stay the same; a restart reads the ticks since.
_KEEP_SECONDS = 30.0
#: States read in one go.
_LOADED_AT_ONCE = 100


class _Place:
    """One signals partition in one assignment; one of them keeps the silences."""

    def __init__(self, number: int, machine: PartitionWatch, sources: set[str], silence: SourceLiveness | None) -> None:
        self.number = number
        self.machine = machine
        self.silence = silence
        self.sources = sources
        self.kept = machine.watermark.value
        self.forwarded: float | None = None


class WatchStage:
    """Signals to findings.

    Parameters
    ----------
    context
        The app and what belongs to it.
    table
        Partitioned like signals.
    settings
        The stage's settings.
    rules
        What the machine goes by.
    """

    def __init__(self, context: StageContext, table: AckedTable, settings: WatchSettings, rules: WatchRules) -> None:
        self._context = context
        self._app = context.app
        self._table = table
        self._settings = settings
        self._rules = rules
        self._silences = SourceLivenessStore(context, table, settings.source_silence_seconds)
        self._cache = PartitionCache(self._load)

    def held(self) -> int:
        """Return how many events are kept open on purpose."""
        return sum(place.machine.open.tokens for place in self._cache.values())

    async def handle(self, batch: list[Any]) -> None:
        """Take raw events of signals, in order."""
        for raw in batch:
            if not self._app.is_current(raw):
                continue
            place = await self._cache.get(raw)
            event = await self._context.read(raw, _STAGE)
            if event is not None and isinstance(event.data, Signal):
                await self._signal(place, event, raw)
            elif event is not None and isinstance(event.data, Tick):
                await self._tick(place, event.data, raw)
            else:
                self._app.settle(raw)

    async def _signal(self, place: _Place, event: Event, raw: Any) -> None:
        offer = await self._context.guarded(raw, _STAGE, partial(place.machine.offer, event, raw), None)
        if offer is Offer.HELD:
            while self.held() > self._settings.outstanding_events and (closed := place.machine.relieve()) is not None:
                self._context.metrics.relieved.inc()
                logger.warning(
                    "more than watch.outstanding_events = %d events are held; a bucket was closed early",
                    self._settings.outstanding_events,
                )
                await self._finish(place, closed, raw)
            return
        if offer is not None:
            late = offer is Offer.LATE and raw.message.offset > place.machine.offset
            (self._context.metrics.late if late else self._context.metrics.repeated).inc()
        self._app.settle(raw)

    async def _tick(self, place: _Place, tick: Tick, raw: Any) -> None:
        moved = place.machine.tick(tick, raw.message.offset)
        if place.silence is not None:
            await self._tell_silence(place, place.silence, tick, raw)
        if moved:
            closed = []
            for stream in place.machine.closed():
                closed.append(stream)
                await asyncio.sleep(0)
            await asyncio.gather(*(self._finish(place, stream, raw) for stream in closed))
            await self._forward(place)
        await self._keep_sources(place, raw)
        self._observe(place)
        self._app.settle(raw)

    async def _tell_silence(self, place: _Place, silence: SourceLiveness, tick: Tick, raw: Any) -> None:
        """Publish who is silent, then write it; the tick is acknowledged after both."""
        for event in silence.apply(tick, raw.message.offset):
            self._count(event)
            await self._context.publish(self._context.names.findings, self._traced(event), place.number)
        if silence.dirty and self._app.is_current(raw):
            await self._silences.keep(place.number, silence)

    async def _finish(self, place: _Place, closed: ClosedStream, raw: Any) -> None:
        """Publish, write the state, acknowledge; each awaited before the next."""
        for event in closed.findings:
            self._count(event)
            await self._context.publish(self._context.names.findings, self._traced(event), place.number)
            if (note := sentinel_note(event)) is not None:
                for number in range(self._context.kafka.stream_partitions):
                    await self._context.publish(self._context.names.findings, note, number)
        if not self._app.is_current(raw):
            return
        await self._table.put(closed.key.encode(), closed.state, partition=place.number)
        for token in closed.tokens:
            self._app.settle(token)
        self._app.progress()

    async def _forward(self, place: _Place) -> None:
        """Tell the alert stage how far log time has come, once a second of it."""
        watermark = place.machine.watermark.value
        assert watermark is not None
        if place.forwarded is not None and watermark < place.forwarded + _TICK_SECONDS:
            return
        place.forwarded = watermark
        tick = Tick(stage=_STAGE, partition=place.number, watermark=watermark)
        event = Event(
            id=f"watch/{place.number}/{watermark:.6f}",
            source=WATCH_SOURCE,
            type=Tick.event_type,
            time=watermark,
            data=tick,
        )
        await self._context.publish(self._context.names.findings, event, place.number)

    async def _keep_sources(self, place: _Place, raw: Any) -> None:
        """Remember which sources live and how far log time has come, so that a restarted stage goes on there."""
        watermark = place.machine.watermark
        live, value = watermark.live(), watermark.value
        due = value is not None and (place.kept is None or value >= place.kept + _KEEP_SECONDS)
        if (live != place.sources or due) and self._app.is_current(raw):
            state = SourcesState(
                sources=tuple(sorted(live)), offset=place.machine.offset, lanes=watermark.lanes, value=value
            )
            await self._table.put(sources_key(place.number).encode(), encode(state), partition=place.number)
            place.sources, place.kept = live, value

    def _traced(self, event: Event) -> Event:
        """Give an alarm a span of its own, child of the event that speaks most, linked to the others."""
        finding = event.data
        assert isinstance(finding, FindingRecord)
        if not finding.alarm:
            return event
        attributes: dict[str, str | float] = {
            WEIR_DETECTOR: finding.detector,
            WEIR_DETECTOR_VERSION: finding.version,
            WEIR_TENANT: finding.tenant,
            GEN_AI_EVALUATION_NAME: finding.detector,
            GEN_AI_EVALUATION_SCORE_VALUE: finding.score,
            GEN_AI_EVALUATION_SCORE_LABEL: "alarm",
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
        else:
            self._context.metrics.findings.labels(label, str(finding.alarm).lower()).inc()
            if finding.detector != SILENCE:  # that of a source is no stream's
                stream = (finding.tenant, finding.model, finding.side, label)
                self._context.metrics.streams.show(stream, finding.statistic, finding.limit)

    def _observe(self, place: _Place) -> None:
        metrics, number, watermark = self._context.metrics, str(place.number), place.machine.watermark
        metrics.watermark.labels(number).set(watermark.value or 0)
        metrics.lag.labels(number).set(watermark.lag_seconds)
        metrics.open_buckets.labels(number).set(place.machine.open.buckets)
        metrics.open_events.labels(number).set(place.machine.open.events)
        metrics.released.labels(number).set(len(watermark.released()))

    async def _load(self, partition: int, offset: int) -> _Place:
        known = self._known(partition)
        machine = PartitionWatch(self._rules, known.sources, stored=lambda key: self._table.data.get(key.encode()))
        count = self._context.kafka.stream_partitions
        for number, (key, value) in enumerate(rows(self._table)):
            if not key.startswith(b"\0") and partition_for(key, count) == partition:
                machine.load(key.decode(), value)
            if number % _LOADED_AT_ONCE == 0:  # thousands of tenants take seconds: others go on meanwhile
                self._app.progress()
                await asyncio.sleep(0)
        if lost := machine.lost():
            logger.warning("partition %d: the state of %d streams is rebuilt from the log", partition, len(lost))
            await self._rebuild(machine, partition, offset)
        elif machine.resume(known):
            await self._catch_up(machine, partition, offset)
        silence = await self._silences.load(partition, offset)
        return _Place(partition, machine, set(known.sources), silence)

    def _known(self, partition: int) -> SourcesState:
        value = self._table.data.get(sources_key(partition).encode())
        if value is None:
            return SourcesState()
        try:
            return decode_sources(value)
        except StateUnreadable as error:
            logger.warning("partition %d: %s", partition, error)
            return SourcesState()

    async def _catch_up(self, machine: PartitionWatch, partition: int, end: int) -> None:
        """Take the ticks between the stored watermark and `end`; what they closed was closed before they were acknowledged."""
        offsets = range(machine.offset + 1, end)
        if not offsets:
            return
        options, topic = self._context.kafka.client_options(), self._context.names.signals
        async for offset, event in retained(options, topic, partition, offsets, self._app.progress):
            if isinstance(event.data, Tick):
                machine.tick(event.data, offset)

    async def _rebuild(self, machine: PartitionWatch, partition: int, offset: int) -> None:
        replayed = machine.replayer()
        options = self._context.kafka.client_options()
        async for _, event in retained(
            options, self._context.names.signals, partition, range(offset), self._app.progress
        ):
            replayed.replay(event)
        machine.adopt(replayed)
