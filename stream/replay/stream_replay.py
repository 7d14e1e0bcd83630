"""Replays a stream detector over past signals. The recorded results are the findings that watch published."""

from math import inf

import msgspec

from stream.archive.reader import ArchivedRangeReader
from stream.replay.notes import ReplayResults
from stream.replay.plan import ReplayPlan
from stream.replay.progress import ProgressMeter
from stream.replay.shadow_topic import ShadowTopic
from stream.replay.timeline import AlertTimeline, ReplayedAlert
from stream.replay.versions import Version, stream_version
from stream.replay.watch_chain import WatchChain
from stream.wire import Event, FindingRecord, Signal, Tick, readable

#: Watch publishes its watermark once per second, so the watermark can be this much behind without lag.
_TICK_SECONDS = 2.0


class _VersionRun:
    """Runs one version over one partition of signals."""

    def __init__(self, plan: ReplayPlan, version: Version) -> None:
        self.version = version
        self.timeline = AlertTimeline(plan.tenants)
        rules = plan.watch_rules(lambda settings: {version.detector: stream_version(version, settings)})
        self.watch = WatchChain(rules, plan.watch.outstanding_events)

    def feed(self, event: Event) -> list[Event]:
        """Apply a signal or a tick of score; return findings and alert records."""
        results: list[Event] = []
        for finding in map(self._with_version, self.watch.feed(event)):
            results += [finding] if isinstance(finding.data, FindingRecord) else []
            results += self.timeline.feed(finding)
        return results

    def _with_version(self, event: Event) -> Event:
        """Set the version in a finding; otherwise a finding of a variant would have the installed version."""
        if not isinstance(event.data, FindingRecord):
            return event
        return msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, version=self.version.version))


class StreamReplay:
    """Runs two versions of a stream detector over a log; `sink`, if any, receives the results of the version to run.

    `alerts` and `findings` (numbers of alarms) have two items: first for the version to compare with, then for the
    version to run. `behind` is {partition: event time that watch had reached}, for the partitions in which watch had
    not reached the end of the range. In these partitions, alerts are compared only up to this time.
    """

    def __init__(
        self, plan: ReplayPlan, reader: ArchivedRangeReader, sink: ShadowTopic | None, meter: ProgressMeter
    ) -> None:
        self._plan = plan
        self._reader = reader
        self._sink = sink
        self._meter = meter
        self.alerts: tuple[list[ReplayedAlert], list[ReplayedAlert]] = ([], [])
        self.findings = [0, 0]
        self.behind: dict[int, float] = {}

    async def run(self) -> ReplayResults:
        """Read all partitions, one after the other."""
        for number in range(self._plan.stream_partitions):
            await self._partition(number)
        before, after = self.findings
        return ReplayResults(alerts=self.alerts, findings=(before, after), behind=self.behind)

    async def _partition(self, number: int) -> None:
        versions = self._plan.request.versions
        runs = [None if version.recorded else _VersionRun(self._plan, version) for version in versions]
        end = await self._signals(number, [run for run in runs if run is not None], runs[1])
        timelines = []
        for run in runs:
            if run is None:
                timeline, end = await self._recorded(number, end)
                timelines.append(timeline)
            else:
                timelines.append(run.timeline)
        for index, timeline in enumerate(timelines):
            self.findings[index] += timeline.findings
            self.alerts[index].extend(alert.until(end) for alert in timeline.alerts if alert.opened_at <= end)

    async def _signals(self, number: int, runs: list[_VersionRun], published: _VersionRun | None) -> float:
        """Pass the signals to `runs`; return the smallest final watermark of the runs, but at most the range's end."""
        while (record := await self._reader.next(self._plan.names.signals, number)) is not None:
            self._meter.record()
            event = readable(record.value, record.headers)
            if event is None:
                self._meter.events.skipped += 1
            elif self._is_read(event):
                for run in runs:
                    results = run.feed(event)
                    if run is published and self._sink is not None:
                        await self._sink.publish(results)
        times = [time if (time := run.watch.watermark) is not None else -inf for run in runs]
        return min((self._plan.request.until, *times))

    def _is_read(self, event: Event) -> bool:
        if not isinstance(event.data, Signal):
            return isinstance(event.data, Tick)
        if not self._plan.request.covers(event.data.tenant, event.time):
            return False
        self._meter.events.event(event.time)
        self._meter.events.compared += 1
        return True

    async def _recorded(self, number: int, end: float) -> tuple[AlertTimeline, float]:
        """Return the alerts from the recorded findings up to `end`, and the last watermark of watch (at most `end`)."""
        timeline, reached = AlertTimeline(self._plan.tenants), -inf
        while reached < end and (record := await self._reader.next(self._plan.names.findings, number)) is not None:
            event = readable(record.value, record.headers)
            if event is None:
                continue
            if isinstance(event.data, Tick) and event.data.watermark is not None:
                reached = max(reached, event.data.watermark)
                tick = msgspec.structs.replace(event.data, watermark=min(reached, end))
                timeline.feed(msgspec.structs.replace(event, data=tick))
            elif isinstance(event.data, FindingRecord) and self._is_own(event.data) and event.time <= end:
                timeline.feed(event)
        if reached < end - _TICK_SECONDS:
            self.behind[number] = reached
        return timeline, min(reached, end)

    def _is_own(self, finding: FindingRecord) -> bool:
        request = self._plan.request
        return finding.detector == request.detector.detector and request.after_start(finding.tenant, finding.time)
