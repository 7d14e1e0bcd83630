"""A log in memory with the outputs of real scoring, and replays of this log in this process."""

import asyncio
import tomllib
from pathlib import Path

from stream.replay.alert_diff import compare
from stream.replay.plan import ReplayPlan, ReplayRequest
from stream.replay.progress import ProgressMeter
from stream.replay.stream_replay import StreamReplay
from stream.replay.text_replay import TextReplay, TextScoring
from stream.replay.versions import Version, Versions
from stream.settings import DetectorSettings, KafkaSettings, WatchSettings, tenant_settings
from stream.stages.score.model_process import ModelProcess, ModelSpec
from stream.wire import Event, LogRange
from support.ledger_log import Log
from support.rescoring import SECONDS, START, P, create, gateway_tick

TENANTS = tomllib.loads((Path(__file__).parents[2] / "weir.toml").read_text())["tenants"]
NAMES = KafkaSettings().names
END = START + SECONDS + 60


class MemoryLog:
    """Records by topic and partition; `reader` returns them one by one."""

    def __init__(self, topics):
        log, self.records = Log(), {}
        for topic, partitions in topics.items():
            for number, events in enumerate(partitions):
                self.records[topic, number] = log.records(topic, *events, partition=number)

    def reader(self):
        return _Reader(self.records)


class _Reader:
    def __init__(self, partitions):
        self._left = {key: iter(records) for key, records in partitions.items()}

    async def next(self, topic, partition):
        return next(self._left[topic, partition], None)


class ListSink:
    """A sink that keeps the events."""

    def __init__(self):
        self.events = []

    async def publish(self, events):
        self.events += events


class LocalScorer:
    """Scores in this process, as a model process does."""

    def __init__(self, versions):
        spec = ModelSpec(
            threads=1,
            detectors=tuple(version.name for version in versions),
            options={version.name: version.options for version in versions},
            create=create,
            embedder=None,
        )
        self._engine = ModelProcess(spec)
        self._engine.load()

    async def score(self, items, deliver):
        for row, scored in enumerate(self._engine.score(items)):
            deliver(row, scored)


def ticked(partitions: list[list[Event]]) -> list[list[Event]]:
    """Return partitions of inference by event time, with a tick of the source each second."""
    ticks = [gateway_tick(START + second) for second in range(1, SECONDS + 61)]
    return [sorted([*events, *ticks], key=lambda event: event.time) for events in partitions]


def text_log(inference: list[list[Event]], verdicts: list[list[Event]]) -> MemoryLog:
    return MemoryLog({NAMES.inference: ticked(inference), NAMES.verdicts: verdicts})


def stream_log(signals: list[Event], findings: list[Event]) -> MemoryLog:
    """Return one partition of signals and of findings."""
    return MemoryLog({NAMES.signals: [signals], NAMES.findings: [findings]})


def versions(**settings) -> Versions:
    return Versions(DetectorSettings(**settings), create)


def request_of(detector: Version, against: Version, **more) -> ReplayRequest:
    return ReplayRequest(**{"since": START, "until": END, "detector": detector, "against": against, **more})


def plan_of(request: ReplayRequest, patterns=TENANTS) -> ReplayPlan:
    ranges = (LogRange(topic=NAMES.inference, first={"0": 0}, last={"0": 1}),)
    return ReplayPlan(
        request=request,
        names=NAMES,
        ranges=ranges,
        partitions=P,
        stream_partitions=1,
        tenants=lambda tenant: tenant_settings(patterns, tenant),
        watch=WatchSettings(),
    )


class Replayed:
    """One replay in this process, and its results."""

    def __init__(self, log: MemoryLog, request: ReplayRequest, *, batch_events: int = 32, patterns=TENANTS) -> None:
        self.request, self.sink, self.meter = request, ListSink(), ProgressMeter(0)
        plan = plan_of(request, patterns)
        if request.detector.over_streams:
            self.work = StreamReplay(plan, log.reader(), self.sink, self.meter)
        else:
            run = [version for version in request.versions if not version.recorded]
            scoring = TextScoring(LocalScorer(run), batch_events, 2) if run else None
            self.work = TextReplay(plan, log.reader(), scoring, self.sink, self.meter)
        asyncio.run(self.work.run())

    @property
    def alerts(self):
        if self.request.detector.over_streams:
            return self.work.alerts
        return tuple(list(timeline.alerts) for timeline in self.work.timelines)

    @property
    def diff(self):
        return compare(
            *self.alerts, windows=self.request.windows, counts=lambda alert: self.request.compares(alert.opened_at)
        )
