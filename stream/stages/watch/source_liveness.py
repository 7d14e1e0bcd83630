"""Liveness of the sources: one finding for each bucket in which a source is inactive while others are active.

If a node dies, the windows of other nodes must continue, and an alert must open. If all nodes are inactive, event time stops, and the ledger reports
this by the wall clock.
"""

import msgspec

from stream.errors import StateUnreadable
from stream.runbook import SILENCE
from stream.settings import KafkaSettings, TenantSettings
from stream.stages.shared.state_codec import encode
from stream.stages.watch.records import WATCH_SOURCE
from stream.stages.watch.state import LivenessLane, LivenessState
from stream.stages.watch.watermark import SourceLane
from stream.wire import OWN_TENANT, Event, FindingRecord, Tick, canonical_time, stream_key
from stream.wire.ids import bucket_finding_id

OWN_STREAM = stream_key(OWN_TENANT, "", "")
_VERSION = "1"
_HOUR_SECONDS = 3600
#: Number of last buckets that are checked after a jump of event time, because a clock can jump by years.
_LEAP_BUCKETS = 128


class LivenessRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules by which a source is inactive.

    A source is inactive in a bucket if the watermark no longer waits for the source and its newest time is at least `silence_seconds` before the
    bucket's end. An inactive source is removed after `forget_seconds`, when the log no longer contains its records. In each of the `clear_buckets`
    buckets after the last inactive bucket, a finding without alarm is published, so that the alert resolves. `partitions` is P, the number of
    partitions of inference.
    """

    partitions: int
    silence_seconds: float
    bucket_seconds: float
    clear_buckets: int
    forget_seconds: float

    @classmethod
    def of(cls, kafka: KafkaSettings, own: TenantSettings, silence_seconds: float) -> "LivenessRules":
        """Return the rules for the settings of Kafka and of Weir's own tenant."""
        return cls(
            partitions=kafka.partitions,
            silence_seconds=silence_seconds,
            bucket_seconds=own.bucket_seconds,
            clear_buckets=own.alerts.close_windows,
            forget_seconds=max(kafka.retention_hours * _HOUR_SECONDS, 2 * silence_seconds),
        )


class SourceLiveness:
    """Turns score's ticks into findings: an alarm for each bucket in which a source is inactive, else no alarm.

    A bucket (time window) is evaluated for each inference partition, when the partition's event time passes the bucket's
    end. Only a source that is inactive on every partition counts, so the order between partitions has no effect. A closed
    source is removed from all partitions and never counts as inactive. Findings without an alarm let an alert resolve.

    Raises StateUnreadable if the state has another number of partitions or another bucket width. A tick costs
    O(sources); memory is O(P x (sources + inactive sources x buckets between the fastest and slowest partition)).
    """

    def __init__(self, rules: LivenessRules, state: LivenessState | None = None) -> None:
        if state is None:
            lanes = [LivenessLane(sources=SourceLane()) for _ in range(rules.partitions)]
            state = LivenessState(seconds=rules.bucket_seconds, lanes=lanes)
        if state.seconds != rules.bucket_seconds or len(state.lanes) != rules.partitions:
            raise StateUnreadable(
                f"source liveness of {len(state.lanes)} partitions in buckets of {state.seconds:g} s, expected "
                f"{rules.partitions} partitions and {rules.bucket_seconds:g} s; it is rebuilt from the log"
            )
        for lane in state.lanes:
            for first, last, silent in lane.runs:
                lane.silent |= dict.fromkeys(range(first, last + 1), silent)
            lane.runs = []
        self._rules = rules
        self._state = state
        self.dirty = state.offset < 0

    @property
    def offset(self) -> int:
        """The offset of the last applied tick, or -1 before the first tick."""
        return self._state.offset

    def snapshot(self) -> bytes:
        """Return the state. If :attr:`dirty` is true, store the state before the tick is acknowledged."""
        self.dirty = False
        lanes = [msgspec.structs.replace(lane, silent={}, runs=_runs(lane.silent)) for lane in self._state.lanes]
        return encode(msgspec.structs.replace(self._state, lanes=lanes))

    def apply(self, tick: Tick, offset: int) -> list[Event]:
        """Apply the tick at `offset`; return the findings of the buckets that end now. Ignore a duplicate."""
        state = self._state
        if offset <= state.offset or not 0 <= tick.partition < len(state.lanes):
            return []
        state.offset = offset
        lane = state.lanes[tick.partition]
        lane.sources.apply(tick, self._rules.silence_seconds, len(state.lanes))
        self._evaluate(lane)
        return self._close()

    def _evaluate(self, lane: LivenessLane) -> None:
        """Record the inactive sources at the end of each bucket that the partition's event time has passed."""
        low, released, seconds = lane.sources.low, lane.sources.released, self._rules.bucket_seconds
        if low is None:
            return
        number = int(low // seconds)
        if lane.reached is None:
            lane.first = lane.reached = number
        for name in [name for name, time in released.items() if low - time >= self._rules.forget_seconds]:
            del released[name]
        for bucket in range(max(lane.reached, number - _LEAP_BUCKETS), number):
            end = (bucket + 1) * seconds
            silent = {name: time for name, time in released.items() if end - time >= self._rules.silence_seconds}
            if silent:
                lane.silent[bucket] = silent
        lane.reached = number

    def _close(self) -> list[Event]:
        """Return the findings of the buckets that have ended on every partition."""
        state, lanes = self._state, self._state.lanes
        reached = [lane.reached for lane in lanes if lane.reached is not None]
        if len(reached) < len(lanes):
            return []
        if state.edge is None:
            state.edge = max(lane.first for lane in lanes if lane.first is not None)
        start, end = state.edge, min(reached)
        if end <= start:
            return []
        state.edge, self.dirty = end, True
        findings = [event for bucket in self._buckets(start, end) for event in self._found(bucket)]
        for lane in lanes:
            lane.silent = {bucket: silent for bucket, silent in lane.silent.items() if bucket >= end}
        state.last = {name: last for name, last in state.last.items() if end <= last + self._rules.clear_buckets}
        state.told = {name: time for name, time in state.told.items() if name in state.last}
        return findings

    def _buckets(self, start: int, end: int) -> list[int]:
        """Return the buckets in [`start`, `end`) that may have findings, in order."""
        silent = set.intersection(*(set(lane.silent) for lane in self._state.lanes))
        ends = {*silent, *self._state.last.values()}
        clear = {last + step for last in ends for step in range(1, self._rules.clear_buckets + 1)}
        return sorted(bucket for bucket in silent | clear if start <= bucket < end)

    def _found(self, bucket: int) -> list[Event]:
        lanes = [lane.silent.get(bucket, {}) for lane in self._state.lanes]
        silent = {name: max(lane[name] for lane in lanes) for name in set.intersection(*map(set, lanes))}
        clear = [
            name
            for name, last in self._state.last.items()
            if name not in silent and bucket <= last + self._rules.clear_buckets
        ]
        before = self._state.told.copy()
        self._state.last |= dict.fromkeys(silent, bucket)
        self._state.told |= silent
        return [self._finding(name, bucket, silent.get(name), before.get(name)) for name in sorted({*silent, *clear})]

    def _finding(self, source: str, bucket: int, newest: float | None, before: float | None) -> Event:
        """Return the finding about `source`; `newest` is the source's last event time, or None if it is active.

        `before` is its last event time in the inactive bucket before, or None if there was none.
        """
        seconds = self._rules.bucket_seconds
        end = canonical_time((bucket + 1) * seconds)
        behind = 0.0 if newest is None else end - newest
        record = FindingRecord(
            tenant=OWN_TENANT,
            model="",
            side="",
            detector=SILENCE,
            version=_VERSION,
            time=end,
            alarm=newest is not None,
            score=0.0 if newest is None else 1.0,
            bucket=bucket,
            bucket_seconds=seconds,
            statistic=behind,
            limit=self._rules.silence_seconds,
            feature=source,
            events=0,
            details={} if newest is None else {"told": newest, "told_before": before or newest, "log_time": end},
        )
        return Event(
            id=bucket_finding_id(OWN_STREAM, f"{SILENCE}/{source}", bucket),
            source=WATCH_SOURCE,
            type=FindingRecord.event_type,
            time=end,
            data=record,
            subject=source,
            partitionkey=OWN_STREAM,
        )


def _runs(silent: dict[int, dict[str, float]]) -> list[tuple[int, int, dict[str, float]]]:
    """Return `silent` with one entry for consecutive buckets with the same sources."""
    runs: list[tuple[int, int, dict[str, float]]] = []
    for bucket, sources in sorted(silent.items()):
        if runs and runs[-1][1:] == (bucket - 1, sources):
            runs[-1] = (runs[-1][0], bucket, sources)
        else:
            runs.append((bucket, bucket, sources))
    return runs
