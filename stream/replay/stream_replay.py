"""A stream detector over past signals, partition by partition; what was recorded are the findings that watch published."""

from contextlib import suppress
from math import inf

import msgspec

from stream.replay.merged_log import Reads
from stream.replay.plan import Plan
from stream.replay.progress import Meter
from stream.replay.shadow_topic import Sink
from stream.replay.stage_chain import WatchChain
from stream.replay.timeline import ReplayedAlert, Timeline
from stream.replay.versions import Version, stream_version
from stream.stages.watch.machine import WatchRules
from stream.wire import Event, FindingRecord, Signal, Tick, WireError, decode

__all__ = ["StreamReplay"]

#: Watch tells its time once a second: nearer to the end it is not behind.
_STEP_SECONDS = 2.0


class _Side:
    """One version on one partition of signals."""

    def __init__(self, plan: Plan, version: Version) -> None:
        self.version = version
        self.timeline = Timeline(plan.tenants)
        rules = WatchRules(
            partitions=plan.partitions,
            source_silence_seconds=plan.watch.source_silence_seconds,
            tenants=plan.tenants,
            detectors=lambda settings: {version.detector: stream_version(version, settings)},
        )
        self.watch = WatchChain(rules, plan.watch.outstanding_events)

    def feed(self, event: Event) -> list[Event]:
        """Take a signal or a tick of score; return findings and alert records."""
        told: list[Event] = []
        for found in self.watch.feed(event):
            marked = self._marked(found)
            told += [marked] if isinstance(marked.data, FindingRecord) else []
            told += self.timeline.feed(marked)
        return told

    def _marked(self, found: Event) -> Event:
        """Name the version in its findings: a variant runs the code of what is installed."""
        if not isinstance(found.data, FindingRecord):
            return found
        return msgspec.structs.replace(found, data=msgspec.structs.replace(found.data, version=self.version.version))


class StreamReplay:
    """Runs two versions of a stream detector over a log.

    Parameters
    ----------
    plan
        What is to be done.
    reader
        Gives the records of signals and findings.
    sink
        Takes what the version to run finds.
    meter
        Counts.

    Attributes
    ----------
    alerts
        Of the version that is compared against, and of the version to run.
    findings
        Alarms of each.
    behind
        Partitions in which watch had not come to the end of the range: alerts are compared up to where it had.
    """

    def __init__(self, plan: Plan, reader: Reads, sink: Sink, meter: Meter) -> None:
        self._plan = plan
        self._reader = reader
        self._sink = sink
        self._meter = meter
        self.alerts: tuple[list[ReplayedAlert], list[ReplayedAlert]] = ([], [])
        self.findings = [0, 0]
        self.behind: dict[int, float] = {}

    async def run(self) -> None:
        """Read every partition to its end, one after the other."""
        for number in range(self._plan.stream_partitions):
            await self._partition(number)

    async def _partition(self, number: int) -> None:
        versions = self._plan.asked.versions
        sides = [None if version.recorded else _Side(self._plan, version) for version in versions]
        horizon = await self._signals(number, [side for side in sides if side is not None], sides[1])
        timelines = []
        for side in sides:
            if side is None:
                timeline, horizon = await self._recorded(number, horizon)
                timelines.append(timeline)
            else:
                timelines.append(side.timeline)
        for place, timeline in enumerate(timelines):
            self.findings[place] += timeline.findings
            self.alerts[place].extend(alert.until(horizon) for alert in timeline.alerts if alert.opened_at <= horizon)

    async def _signals(self, number: int, sides: list[_Side], shown: _Side | None) -> float:
        """Feed the signals to every version that runs; return how far log time came."""
        while (record := await self._reader.next(self._plan.names.signals, number)) is not None:
            self._meter.record()
            event = None
            with suppress(WireError):
                event = decode(record.value, record.headers)
            if event is None:
                self._meter.events.skipped += 1
            elif self._wanted(event):
                for side in sides:
                    told = side.feed(event)
                    if side is shown:
                        await self._sink.publish(told)
        times = [time if (time := side.watch.log_time) is not None else -inf for side in sides]
        return min((self._plan.asked.until, *times))

    def _wanted(self, event: Event) -> bool:
        if not isinstance(event.data, Signal):
            return isinstance(event.data, Tick)
        if not self._plan.asked.covers(event.data.tenant, event.time):
            return False
        self._meter.events.event(event.time)
        self._meter.events.compared += 1
        return True

    async def _recorded(self, number: int, horizon: float) -> tuple[Timeline, float]:
        """Return the alerts of the findings that were published, up to `horizon`, and how far watch had come by then."""
        timeline, reached = Timeline(self._plan.tenants), -inf
        while reached < horizon and (record := await self._reader.next(self._plan.names.findings, number)) is not None:
            try:
                event = decode(record.value, record.headers)
            except WireError:
                continue
            if isinstance(event.data, Tick) and event.data.watermark is not None:
                reached = max(reached, event.data.watermark)
                tick = msgspec.structs.replace(event.data, watermark=min(reached, horizon))
                timeline.feed(msgspec.structs.replace(event, data=tick))
            elif isinstance(event.data, FindingRecord) and self._own(event.data) and event.time <= horizon:
                timeline.feed(event)
        if reached < horizon - _STEP_SECONDS:
            self.behind[number] = reached
        return timeline, min(reached, horizon)

    def _own(self, finding: FindingRecord) -> bool:
        asked = self._plan.asked
        return finding.detector == asked.detector.detector and asked.after_start(finding.tenant, finding.time)
