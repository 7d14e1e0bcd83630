"""Synthetic signals and ticks for the watch stage, as score publishes them to one partition of signals."""

import random
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import msgspec

from detectors.base import Finding, Observation, StreamDetector
from detectors.snapshots import seal, unseal
from stream.settings import TenantSettings, tenant_settings
from stream.stages.watch.machine import PartitionWatch, WatchRules
from stream.wire import Event, FindingRecord, Signal, Tick, canonical_time, stream_key
from stream.wire.ids import event_finding_id
from support.events import event_of

MODEL = "m"
SILENCE = 60.0


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """The distance of a bucket's mean from the mean of the first bucket at which the detector alarms."""

    limit: float = 1.0


class _State(msgspec.Struct, kw_only=True):
    reference: float | None = None
    events: int = 0
    total: float = 0.0


class LevelDetector(StreamDetector[Level]):
    """A small stream detector that compares a feature's mean in a bucket with the first bucket's mean; an empty bucket is clear.

    Its findings contain a sum that depends on all events and their order, so a lost, doubled or out-of-order event changes them.
    """

    name: ClassVar[str] = "drift"
    version: ClassVar[str] = "level-1"
    config_type: ClassVar[type[Level]] = Level
    feature: ClassVar[str] = "x"

    def __init__(self, config=None):
        super().__init__(config)
        self._state = _State()

    def update_many(self, observations):
        state, values = self._state, self._added(observations)
        if not values:
            return self._finding(0.0) if state.reference is not None else None
        mean = sum(values) / len(values)
        if state.reference is None:
            state.reference = mean
            return None
        return self._finding(abs(mean - state.reference))

    def _added(self, observations):
        """Add the feature's values to the sum, and return them."""
        values = [observation.features.get(self.feature, 1.0) for observation in observations]
        for number, value in enumerate(values, self._state.events):
            self._state.total += value * (1 + number % 7)
        self._state.events += len(values)
        return values

    def _finding(self, distance: float) -> Finding:
        limit = self.config.limit
        return Finding(
            score=min(1.0, distance / (2 * limit)),
            statistic=distance,
            limit=limit,
            feature=self.feature,
            alarm=distance >= limit,
            details={"events": float(self._state.events), "total": self._state.total},
        )

    def snapshot(self) -> bytes:
        return seal(self, self._state)

    def restore(self, state: bytes) -> None:
        self._state = unseal(self, state, _State)


def level_detectors(settings: TenantSettings) -> dict[str, StreamDetector[Any]]:
    return {"drift": LevelDetector(Level(**settings.detector_options("drift")))}


def rules(partitions, tenants=None, detectors=level_detectors) -> WatchRules:
    patterns = tenants or {"*": {"bucket_seconds": 5}}
    return WatchRules(
        partitions=partitions,
        source_silence_seconds=SILENCE,
        tenants=lambda tenant: tenant_settings(patterns, tenant),
        detectors=detectors,
    )


def trace_of(number: int) -> str:
    return f"00-{number + 1:032x}-{number + 1:016x}-01"


def event_id_of(request_id, side):
    return f"{request_id}/{'request' if side == 'input' else 'end'}"


def signal_event(request_id, time, *, tenant="acme", side="input", principal="k1", **more) -> Event:
    event_id, time = event_id_of(request_id, side), canonical_time(time)
    where = {"tenant": tenant, "model": MODEL, "side": side, "principal": principal}
    data = Signal(request_id=request_id, event_id=event_id, time=time, **where, **more)
    return _about(event_id, f"{event_id}/signal/{data.part}".removesuffix("/"), data)


def finding_of(
    request_id, time, detector, *, tenant="acme", side="input", principal="k1", score=0.9, version="1"
) -> Event:
    """Return score's finding about one event."""
    event_id, time = event_id_of(request_id, side), canonical_time(time)
    where = {"tenant": tenant, "model": MODEL, "side": side, "principals": {principal: 1}}
    data = FindingRecord(detector=detector, version=version, time=time, score=score, evidence=(request_id,), **where)
    return _about(event_id, event_finding_id(event_id, detector, version), data, correlationid=request_id)


def _about(event_id, identity, data, **more):
    key = stream_key(data.tenant, MODEL, data.side, data.part if isinstance(data, Signal) else "")
    return event_of(data, identity, data.time, traceparent=trace_of(hash_of(event_id)), key=key, **more)


def hash_of(text: str) -> int:
    """Return a number that depends only on `text`, not on the run."""
    return random.Random(text).getrandbits(60)


def score_tick(partition: int, sources: dict[str, float], closed: tuple[str, ...] = ()) -> Event:
    tick = Tick(stage="score", partition=partition, sources=sources, closed=closed)
    return event_of(tick, "tick", max(sources.values(), default=0.0))


def watch_tick(watermark: float) -> Event:
    return event_of(Tick(stage="watch", partition=0, watermark=watermark), "tick", watermark, source="weir/watch")


def lanes(events: Iterable[tuple[str, int, Event]], seconds: float, start: float, partitions: int) -> list[list[Event]]:
    """Return, by inference partition, the events that score publishes to one partition of signals: signals, and a tick per second.

    `events` are (source, inference partition, signal), in any order; every source ticks from `start` to `start + seconds`.
    """
    ordered = sorted(events, key=lambda item: (item[2].time, item[2].id))
    sources = sorted({source for source, _, _ in ordered})
    result: list[list[Event]] = [[] for _ in range(partitions)]
    position = 0
    for second in range(1, int(seconds) + 1):
        now = start + second
        while position < len(ordered) and ordered[position][2].time < now:
            result[ordered[position][1]].append(ordered[position][2])
            position += 1
        for partition in range(partitions):
            result[partition].append(score_tick(partition, dict.fromkeys(sources, now)))
    return result


def interleaved(partitions: list[list[Event]], random_: random.Random) -> list[Event]:
    """Merge the lanes in a random order that keeps the order within each lane."""
    left = [list(reversed(lane)) for lane in partitions]
    log: list[Event] = []
    while any(left):
        lane = random_.choice([lane for lane in left if lane])
        for _ in range(random_.randint(1, 20)):
            if not lane:
                break
            log.append(lane.pop())
    return log


def watched(machine: PartitionWatch, log: Iterable[Event]) -> Iterator[Event]:
    """Yield the events that the stage publishes to findings for `log`: findings and ticks."""
    for event in log:
        if not isinstance(event.data, Tick):
            machine.offer(event, event)
        elif machine.tick(event.data):
            for closed in machine.closed():
                yield from closed.findings
            yield watch_tick(machine.watermark.value)


def observation(id_: str, time: float, **features: float) -> Observation:
    return Observation(id=id_, time=time, features=features)
