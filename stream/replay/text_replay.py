"""Replays a text detector over past inference: verdicts, new or recorded, become findings and alerts as in the stages.

Both versions process the same events in the same order with the same watermarks, so only their verdicts differ.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from stream.archive.reader import ArchivedRangeReader
from stream.replay.merged_partitions import MergedRecord, merged_partitions
from stream.replay.notes import ReplayResults
from stream.replay.plan import ReplayPlan
from stream.replay.progress import ProgressMeter
from stream.replay.recorded_verdicts import Absent, RecordedVerdicts
from stream.replay.report import Flips
from stream.replay.shadow_topic import ShadowTopic
from stream.replay.timeline import AlertTimeline
from stream.replay.verdict_flips import flip, version_verdict
from stream.replay.versions import Version
from stream.replay.watch_chain import WatchChain
from stream.stages.score.event_parts import Item
from stream.stages.score.machine import expected_detectors, item_of
from stream.stages.score.model_pool import ModelPool, Outcome, failure_of
from stream.stages.score.records import finding_event
from stream.stages.score.ticks import merge_ticks
from stream.wire import Closed, Event, FindingRecord, RequestRecord, ResponseRecord, Tick, Verdict

_SOURCE = "weir/replay"
#: Largest number of ticks and events in one chunk.
_CHUNK = 4096


class TextScoring(msgspec.Struct, frozen=True):
    """A scorer, the number of texts in a batch, and the number of batches that are scored in parallel."""

    scorer: ModelPool
    batch_events: int
    workers: int


class _Expected(msgspec.Struct, frozen=True):
    """An event that expects a verdict of the detector.

    `recorded` is None if neither version uses recorded verdicts, or if the log contains no verdict on the event.
    """

    event: Event
    recorded: Verdict | None


_Step = Event | _Expected


class TextReplay:
    """Runs two versions of a text detector over a log; `sink`, if any, receives the results of the version to run.

    `scoring` scores the texts; its detectors have the names of the versions. It is None if both versions are recorded.
    `timelines` has two items: the alerts of the version to compare with, then the alerts of the version to run.
    `flips` are the decisions that differ only by rounding; for these, the replay uses the recorded decision and score.
    """

    def __init__(
        self,
        plan: ReplayPlan,
        reader: ArchivedRangeReader,
        scoring: TextScoring | None,
        sink: ShadowTopic | None,
        meter: ProgressMeter,
    ) -> None:
        self._plan = plan
        self._versions = plan.request.versions
        self._reader = reader
        self._scoring = scoring
        self._chunk_events = scoring.batch_events * scoring.workers if scoring is not None else _CHUNK
        self._sink = sink
        self._meter = meter
        self._run = tuple(dict.fromkeys(version.name for version in self._versions if not version.recorded))
        detector = plan.request.detector.detector
        self._recorded = None
        if any(version.recorded for version in self._versions):
            self._recorded = RecordedVerdicts(reader, plan.names.verdicts, plan.partitions, detector)
        self._watch = WatchChain(plan.watch_rules(lambda _: {}))
        self.timelines = (AlertTimeline(plan.tenants), AlertTimeline(plan.tenants))
        self.flips = Flips()

    async def run(self) -> ReplayResults:
        """Read to the end of the range. While a chunk of events is scored, the next chunk is read."""
        scoring: asyncio.Task[list[Outcome | None]] | None = None
        waiting: list[_Step] = []
        try:
            async with aclosing(self._chunks()) as chunks:
                async for chunk in chunks:
                    if scoring is not None:
                        await self._apply(waiting, await scoring)
                    waiting, scoring = chunk, asyncio.create_task(self._score(chunk))
            if scoring is not None:
                await self._apply(waiting, await scoring)
        finally:
            if scoring is not None:
                scoring.cancel()
                await asyncio.gather(scoring, return_exceptions=True)
        before, after = self.timelines
        alerts = list(before.alerts), list(after.alerts)
        return ReplayResults(alerts=alerts, findings=(before.findings, after.findings), flips=self.flips)

    async def _chunks(self) -> AsyncGenerator[list[_Step], None]:
        """Yield events and ticks in order, in chunks that the model processes can score together."""
        chunk: list[_Step] = []
        events = 0
        merged = merged_partitions(self._reader, self._plan.names.inference, self._plan.partitions)
        async with aclosing(merged) as records:
            async for record in records:
                self._meter.record()
                step = await self._step(record)
                if step is None:
                    continue
                chunk.append(step)
                events += isinstance(step, _Expected)
                if events == self._chunk_events or len(chunk) == _CHUNK:
                    yield chunk
                    chunk, events = [], 0
        if chunk:
            yield chunk

    async def _step(self, record: MergedRecord) -> _Step | None:
        event = record.event
        if event is None:
            self._meter.events.skipped += 1
            return None
        if isinstance(event.data, Tick | Closed):
            return merge_ticks(record.partition, record.offset, [event], _SOURCE, record.logged)
        if not isinstance(event.data, RequestRecord | ResponseRecord):
            return None
        if not self._plan.request.covers(event.data.tenant, event.time):
            return None
        self._meter.events.event(event.time)
        if self._plan.request.detector.detector not in expected_detectors(event.data):
            return None
        return await self._with_recorded(record.partition, event)

    async def _with_recorded(self, partition: int, event: Event) -> _Expected | None:
        """Return the event with its recorded verdict, or None if score had not reached the event, or Kafka deleted the verdict."""
        if self._recorded is None:
            return _Expected(event, None)
        verdict = await self._recorded.find(partition, event)
        if verdict is Absent.PENDING:
            self._meter.events.pending += 1
            return None
        if verdict is Absent.EXPIRED:
            self._meter.events.expired += 1
            return None
        if verdict is Absent.MISSING:
            self._meter.events.missing += 1
            return _Expected(event, None)
        assert isinstance(verdict, Verdict)
        return _Expected(event, verdict)

    async def _score(self, chunk: list[_Step]) -> list[Outcome | None]:
        """Return one outcome per step (event or tick).

        The outcome is None for a tick. If both versions are recorded, every outcome is None.
        """
        rows = [row for row, step in enumerate(chunk) if isinstance(step, _Expected)]
        outcomes: list[Outcome | None] = [None] * len(chunk)
        if self._scoring is not None:
            size = max(1, -(-len(rows) // self._scoring.workers))
            batches = [rows[start : start + size] for start in range(0, len(rows), size)]
            await asyncio.gather(*(self._batch(self._scoring.scorer, chunk, batch, outcomes) for batch in batches))
        return outcomes

    async def _batch(
        self, scorer: ModelPool, chunk: list[_Step], rows: list[int], outcomes: list[Outcome | None]
    ) -> None:
        def deliver(index: int, outcome: Outcome) -> None:
            outcomes[rows[index]] = outcome

        await scorer.score([self._item(chunk[row]) for row in rows], deliver)

    def _item(self, step: _Step) -> Item:
        assert isinstance(step, _Expected)
        data = step.event.data
        assert isinstance(data, RequestRecord | ResponseRecord)
        return item_of(data, self._run)

    async def _apply(self, chunk: list[_Step], outcomes: list[Outcome | None]) -> None:
        """Apply the decisions of both versions, in the order of the log."""
        results: list[Event] = []
        for step, outcome in zip(chunk, outcomes, strict=True):
            if isinstance(step, _Expected):
                results += self._decide(step, outcome)
            else:
                for tick in self._watch.feed(step):
                    results += self._feed((tick, tick))
        if self._sink is not None:
            await self._sink.publish(results)

    def _decide(self, step: _Expected, outcome: Outcome | None) -> list[Event]:
        self._meter.events.compared += 1
        self._meter.events.failed += outcome is not None and failure_of(outcome) is not None
        before, after = (
            self._without_flip(version, step.recorded, version_verdict(version, step.event, step.recorded, outcome))
            for version in self._versions
        )
        return self._feed((_finding(step.event, before), _finding(step.event, after)))

    def _without_flip(self, version: Version, recorded: Verdict | None, verdict: Verdict | None) -> Verdict | None:
        """Return `verdict`, but with the recorded decision and score if only rounding made the decision differ."""
        if version.recorded or recorded is None or verdict is None:
            return verdict
        thresholds = self._plan.tenants(recorded.tenant).alerts.threshold
        flipped = flip(version, recorded, verdict, alert_threshold=thresholds.get(version.detector, 0.0))
        if flipped is None:
            return verdict
        self.flips.add(flipped)
        return msgspec.structs.replace(verdict, flagged=recorded.flagged, score=recorded.score)

    def _feed(self, events: tuple[Event | None, Event | None]) -> list[Event]:
        """Apply each of `events` (one per version) to the timeline of its version.

        Return the findings and alerts of the version to run.
        """
        before, after = events
        if before is not None:
            self.timelines[0].feed(before)
        if after is None:
            return []
        records = self.timelines[1].feed(after)
        return [after, *records] if isinstance(after.data, FindingRecord) else records


def _finding(event: Event, verdict: Verdict | None) -> Event | None:
    """Return the finding of `verdict`, with the request's trace context, or None if `verdict` causes no finding."""
    return None if verdict is None else finding_event(event, verdict, event.traceparent)
