"""A text detector over past inference: its verdicts, or the recorded ones, become findings and alerts as they would have live.

Both versions decide on the same events in the same order, under the same log time, so that nothing but their verdicts differs.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

import msgspec

from stream.replay.merged_log import Merged, Reads, merged
from stream.replay.plan import Plan
from stream.replay.progress import Meter
from stream.replay.recorded_verdicts import Absent, RecordedVerdicts
from stream.replay.report import Flips
from stream.replay.shadow_topic import Sink
from stream.replay.stage_chain import WatchChain
from stream.replay.timeline import Timeline
from stream.replay.verdict_flips import flip, said
from stream.stages.score.model_pool import Deliver, Failed, Outcome
from stream.stages.score.model_process import Item
from stream.stages.score.records import finding_event, item_of, owed
from stream.stages.score.ticks import merge_ticks
from stream.stages.watch.machine import WatchRules
from stream.wire import Closed, Event, FindingRecord, RequestRecord, ResponseRecord, Tick, Verdict

__all__ = ["Scores", "Scoring", "TextReplay"]

_SOURCE = "weir/replay"
#: Ticks and events that are applied at once, at most.
_CHUNK = 4096


class Scores(Protocol):
    """What scores a batch: :class:`stream.stages.score.model_pool.ModelPool`."""

    async def score(self, items: Sequence[Item], deliver: Deliver) -> None:
        """Score `items`; `deliver(index, outcome)` is called for each."""
        ...


class Scoring(msgspec.Struct, frozen=True):
    """What scores, how many texts at once, and how many batches at a time."""

    scores: Scores
    batch_events: int
    workers: int


class _Owed(msgspec.Struct, frozen=True):
    """An event on which the detector owes a verdict, and the one that was recorded, where it is asked for."""

    event: Event
    recorded: Verdict | None


_Step = Event | _Owed


class TextReplay:
    """Runs two versions of a text detector over a log.

    Parameters
    ----------
    plan
        What is to be done.
    reader
        Gives the records of inference and verdicts.
    scoring
        Scores texts by the versions' names; None where nothing is to be scored.
    sink
        Takes what the version to run finds.
    meter
        Counts.

    Attributes
    ----------
    timelines
        The alerts of the version that is compared against, and of the version to run.
    flips
        Decisions at a threshold; they are counted as they were recorded.
    """

    def __init__(self, plan: Plan, reader: Reads, scoring: Scoring | None, sink: Sink, meter: Meter) -> None:
        self._plan = plan
        self._versions = plan.asked.versions
        self._reader = reader
        self._scoring = scoring
        self._events = scoring.batch_events * scoring.workers if scoring is not None else _CHUNK
        self._sink = sink
        self._meter = meter
        self._run = tuple(dict.fromkeys(version.name for version in self._versions if not version.recorded))
        detector = plan.asked.detector.detector
        self._recorded = None
        if any(version.recorded for version in self._versions):
            self._recorded = RecordedVerdicts(reader, plan.names.verdicts, plan.partitions, detector)
        self._time = WatchChain(
            WatchRules(
                partitions=plan.partitions,
                source_silence_seconds=plan.watch.source_silence_seconds,
                tenants=plan.tenants,
                detectors=lambda _: {},
            )
        )
        self.timelines = (Timeline(plan.tenants), Timeline(plan.tenants))
        self.flips = Flips()

    async def run(self) -> None:
        """Read to the end; a chunk is scored while the next one is read."""
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

    async def _chunks(self) -> AsyncGenerator[list[_Step], None]:
        """Yield steps in order, as many at once as the model processes take."""
        chunk: list[_Step] = []
        events = 0
        async with aclosing(merged(self._reader, self._plan.names.inference, self._plan.partitions)) as records:
            async for record in records:
                self._meter.record()
                step = await self._step(record)
                if step is None:
                    continue
                chunk.append(step)
                events += isinstance(step, _Owed)
                if events == self._events or len(chunk) == _CHUNK:
                    yield chunk
                    chunk, events = [], 0
        if chunk:
            yield chunk

    async def _step(self, record: Merged) -> _Step | None:
        event = record.event
        if event is None:
            self._meter.events.skipped += 1
            return None
        if isinstance(event.data, Tick | Closed):
            return merge_ticks(record.partition, record.offset, [event], _SOURCE)
        if not isinstance(event.data, RequestRecord | ResponseRecord):
            return None
        if not self._plan.asked.covers(event.data.tenant, event.time):
            return None
        self._meter.events.event(event.time)
        if self._plan.asked.detector.detector not in owed(event.data):
            return None
        return await self._with_recorded(record.partition, event)

    async def _with_recorded(self, partition: int, event: Event) -> _Owed | None:
        """Return the event with its recorded verdict; None where score had not come to it."""
        if self._recorded is None:
            return _Owed(event, None)
        found = await self._recorded.find(partition, event)
        if found is Absent.PENDING:
            self._meter.events.pending += 1
            return None
        if found is Absent.MISSING:
            self._meter.events.missing += 1
            return _Owed(event, None)
        assert isinstance(found, Verdict)
        return _Owed(event, found)

    async def _score(self, chunk: list[_Step]) -> list[Outcome | None]:
        """Return what came of each step's text, in their order; None for a tick, and where nothing is to be scored."""
        rows = [row for row, step in enumerate(chunk) if isinstance(step, _Owed)]
        outcomes: list[Outcome | None] = [None] * len(chunk)
        if self._scoring is not None:
            size = max(1, -(-len(rows) // self._scoring.workers))
            pieces = [rows[start : start + size] for start in range(0, len(rows), size)]
            await asyncio.gather(*(self._piece(self._scoring.scores, chunk, piece, outcomes) for piece in pieces))
        return outcomes

    async def _piece(self, scores: Scores, chunk: list[_Step], rows: list[int], outcomes: list[Outcome | None]) -> None:
        def deliver(index: int, outcome: Outcome) -> None:
            outcomes[rows[index]] = outcome

        await scores.score([self._item(chunk[row]) for row in rows], deliver)

    def _item(self, step: _Step) -> Item:
        assert isinstance(step, _Owed)
        data = step.event.data
        assert isinstance(data, RequestRecord | ResponseRecord)
        return item_of(data, self._run)

    async def _apply(self, chunk: list[_Step], outcomes: list[Outcome | None]) -> None:
        """Let both versions find what they find, in the order of the log."""
        told: list[Event] = []
        for step, outcome in zip(chunk, outcomes, strict=True):
            if isinstance(step, _Owed):
                told += self._decide(step, outcome)
            else:
                for tick in self._time.feed(step):
                    told += self._feed((tick, tick))
        await self._sink.publish(told)

    def _decide(self, step: _Owed, outcome: Outcome | None) -> list[Event]:
        self._meter.events.compared += 1
        self._meter.events.failed += isinstance(outcome, Failed)
        before, after = (said(version, step.event, step.recorded, outcome) for version in self._versions)
        if step.recorded is not None:
            before, after = self._steadied(step.recorded, before, after)
        return self._feed((_finding(step.event, before), _finding(step.event, after)))

    def _steadied(
        self, recorded: Verdict, before: Verdict | None, after: Verdict | None
    ) -> tuple[Verdict | None, Verdict | None]:
        """Return both verdicts, with the recorded decision where the scored one flipped at its threshold."""
        steadied: list[Verdict | None] = []
        for version, one in zip(self._versions, (before, after), strict=True):
            flipped = flip(version, recorded, one) if one is not None and not version.recorded else None
            if flipped is None or one is None:
                steadied.append(one)
            else:
                self.flips.add(flipped)
                steadied.append(msgspec.structs.replace(one, flagged=recorded.flagged))
        return steadied[0], steadied[1]

    def _feed(self, events: tuple[Event | None, Event | None]) -> list[Event]:
        """Hand each timeline its event; return what the version to run says: its findings and its alerts."""
        before, after = events
        if before is not None:
            self.timelines[0].feed(before)
        if after is None:
            return []
        records = self.timelines[1].feed(after)
        return [after, *records] if isinstance(after.data, FindingRecord) else records


def _finding(event: Event, verdict: Verdict | None) -> Event | None:
    """Return the finding of a flagged verdict; it stands in the trace of the request."""
    return None if verdict is None else finding_event(event, verdict, event.traceparent)
