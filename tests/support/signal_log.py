"""Recorded-like signals and ticks for the watch stage: sources that send, as score would publish it to one signals partition."""

import random
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import msgspec

from detectors.base import Finding, Observation, StreamDetector, seal, unseal
from stream.settings import TenantSettings, tenant_settings
from stream.stages.watch.finding_evidence import PRINCIPALS
from stream.stages.watch.machine import PartitionWatch, WatchRules
from stream.wire import Event, FindingRecord, Signal, Tick, canonical_time, stream_key
from stream.wire.ids import event_finding_id

assert PRINCIPALS == 32

MODEL = "m"
SILENCE = 60.0


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """How far a bucket's mean may be from that of the first bucket."""

    limit: float = 1.0


class _State(msgspec.Struct, kw_only=True):
    reference: float | None = None
    events: int = 0
    total: float = 0.0


class LevelDetector(StreamDetector[Level]):
    """A small stream detector: the mean of a feature in a bucket against that of the first; an empty bucket is clear.

    It sums everything that it saw in order, so that an event lost, doubled or out of order shows in its findings.
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


def rules(
    partitions: int, tenants: dict[str, dict[str, Any]] | None = None, detectors: Any = level_detectors
) -> WatchRules:
    patterns = tenants or {"*": {"bucket_seconds": 5}}
    return WatchRules(
        partitions=partitions,
        source_silence_seconds=SILENCE,
        tenants=lambda tenant: tenant_settings(patterns, tenant),
        detectors=detectors,
    )


def trace_of(number: int) -> str:
    return f"00-{number + 1:032x}-{number + 1:016x}-01"


def signal_event(
    request_id: str, time: float, *, tenant: str = "acme", side: str = "input", principal: str = "k1", **more: Any
) -> Event:
    time = canonical_time(time)
    event_id = f"{request_id}/{'request' if side == 'input' else 'end'}"
    signal = Signal(
        request_id=request_id,
        event_id=event_id,
        tenant=tenant,
        model=MODEL,
        side=side,
        time=time,
        principal=principal,
        **more,
    )
    return Event(
        id=f"{event_id}/signal",
        source="weir/score",
        type=Signal.event_type,
        time=time,
        data=signal,
        traceparent=trace_of(abs(hash_of(event_id))),
        partitionkey=stream_key(tenant, MODEL, side),
    )


def finding_of(
    request_id: str, time: float, detector: str, *, tenant: str = "acme", side: str = "input", principal: str = "k1"
) -> Event:
    """Return score's finding about one event."""
    time = canonical_time(time)
    event_id = f"{request_id}/{'request' if side == 'input' else 'end'}"
    record = FindingRecord(
        tenant=tenant,
        model=MODEL,
        side=side,
        detector=detector,
        version="1",
        time=time,
        score=0.9,
        principals={principal: 1},
        evidence=(request_id,),
    )
    return Event(
        id=event_finding_id(event_id, detector, "1"),
        source="weir/score",
        type=FindingRecord.event_type,
        time=time,
        data=record,
        correlationid=request_id,
        traceparent=trace_of(abs(hash_of(event_id))),
        partitionkey=stream_key(tenant, MODEL, side),
    )


def hash_of(text: str) -> int:
    """Return a number of `text` that no run changes."""
    return random.Random(text).getrandbits(60)


def score_tick(partition: int, sources: dict[str, float], closed: tuple[str, ...] = ()) -> Event:
    tick = Tick(stage="score", partition=partition, sources=sources, closed=closed)
    return Event(
        id="tick", source="weir/score", type=Tick.event_type, time=max(sources.values(), default=0.0), data=tick
    )


def watch_tick(watermark: float) -> Event:
    tick = Tick(stage="watch", partition=0, watermark=watermark)
    return Event(id="tick", source="weir/watch", type=Tick.event_type, time=watermark, data=tick)


def lanes(events: Iterable[tuple[str, int, Event]], seconds: float, start: float, partitions: int) -> list[list[Event]]:
    """Return, by inference partition, what score publishes to one signals partition: signals, and a tick a second.

    Parameters
    ----------
    events
        (source, inference partition, signal), in any order.
    seconds, start
        The log runs from `start` to `start + seconds`; every source ticks each second of it.
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


def interleaved(partitions: list[list[Event]], random_: random.Random, duplicates: float = 0.0) -> list[Event]:
    """Return one order of all lanes that keeps the order in each; a share of the signals comes again right behind."""
    left = [list(reversed(lane)) for lane in partitions]
    log: list[Event] = []
    while any(left):
        lane = random_.choice([lane for lane in left if lane])
        for _ in range(random_.randint(1, 20)):
            if not lane:
                break
            event = lane.pop()
            log.append(event)
            if isinstance(event.data, Signal) and random_.random() < duplicates:
                log.append(event)
    return log


def watched(machine: PartitionWatch, log: Iterable[Event]) -> Iterator[Event]:
    """Yield what the stage publishes to findings for `log`: the findings, and its ticks."""
    for event in log:
        if isinstance(event.data, Tick):
            if machine.tick(event.data):
                for closed in machine.closed():
                    yield from closed.findings
                assert machine.watermark.value is not None
                yield watch_tick(machine.watermark.value)
        else:
            machine.offer(event, event)


def observation(id_: str, time: float, **features: float) -> Observation:
    return Observation(id=id_, time=time, features=features)
