"""Silence of one source among several: who holds the watermark no longer, told once a bucket of log time.

Why this exists: a dead node must not stop the windows of the others, and must not go unnoticed either. With every source
silent log time stands still, and nothing here can tell: that is the ledger's to say, by the wall clock.
"""

import msgspec

from stream.errors import StateUnreadable
from stream.runbook import SILENCE
from stream.stages.watch.records import WATCH_SOURCE
from stream.stages.watch.state import LivenessLane, LivenessState, encode
from stream.stages.watch.watermark import SourceLane
from stream.wire import OWN_TENANT, Event, FindingRecord, Tick, canonical_time, stream_key
from stream.wire.ids import bucket_finding_id

__all__ = ["OWN_STREAM", "LivenessRules", "SourceLiveness"]

OWN_STREAM = stream_key(OWN_TENANT, "", "")
_VERSION = "1"
#: A leap of log time over more buckets than these is looked at in its last ones alone: a clock may leap by years.
_LEAP_BUCKETS = 128


class LivenessRules(msgspec.Struct, frozen=True, kw_only=True):
    """What silence is.

    Parameters
    ----------
    partitions
        P, the partitions of inference.
    silence_seconds
        Behind the others by so much log time a source is silent, once it is released (see
        :class:`~stream.stages.watch.watermark.Watermark`).
    bucket_seconds
        Width of the buckets that findings are about.
    clear_buckets
        Buckets after a silence that are told as clear: as many as resolve an alert.
    forget_seconds
        A source that is behind by so much is forgotten: what it wrote is no longer retained.
    """

    partitions: int
    silence_seconds: float
    bucket_seconds: float
    clear_buckets: int
    forget_seconds: float


class SourceLiveness:
    """Ticks of score in, findings out: one a bucket and silent source, and some clear ones when it is over.

    An inference partition judges a bucket when its own log time passes the bucket's end; a source is silent where every
    partition says so. So the order between partitions changes nothing, and a source that closed, which no partition then
    knows, is not silent.

    Parameters
    ----------
    rules
        What silence is.
    state
        Where a former instance stood; it goes on with the tick after its offset.

    Raises
    ------
    StateUnreadable
        The state was made for another number of partitions or another width of buckets.

    Notes
    -----
    A tick costs O(sources); memory is O(P x (sources + silent sources x buckets that one partition is ahead of another)).
    """

    def __init__(self, rules: LivenessRules, state: LivenessState | None = None) -> None:
        if state is None:
            lanes = [LivenessLane(sources=SourceLane()) for _ in range(rules.partitions)]
            state = LivenessState(seconds=rules.bucket_seconds, lanes=lanes)
        if state.seconds != rules.bucket_seconds or len(state.lanes) != rules.partitions:
            raise StateUnreadable(
                f"silences of {len(state.lanes)} partitions in buckets of {state.seconds:g} s, these are "
                f"{rules.partitions} and {rules.bucket_seconds:g} s; they are rebuilt from the log"
            )
        self._rules = rules
        self._state = state
        self.dirty = state.offset < 0

    @property
    def offset(self) -> int:
        """The offset of the last tick that was taken, -1 before there is one."""
        return self._state.offset

    def snapshot(self) -> bytes:
        """Return the state to store: due when :attr:`dirty` is true, before the tick is acknowledged."""
        self.dirty = False
        return encode(self._state)

    def apply(self, tick: Tick, offset: int) -> list[Event]:
        """Take the tick at `offset`; return the findings of the buckets that end with it. One taken before changes nothing."""
        state = self._state
        if offset <= state.offset or not 0 <= tick.partition < len(state.lanes):
            return []
        state.offset = offset
        lane = state.lanes[tick.partition]
        lane.sources.apply(tick, self._rules.silence_seconds)
        self._judge(lane)
        return self._close()

    def _judge(self, lane: LivenessLane) -> None:
        """Note who is silent at the ends of the buckets that the partition's log time has passed."""
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
        """Tell of the buckets that have ended in every partition."""
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
        findings = [event for bucket in self._buckets(start, end) for event in self._tell(bucket)]
        for lane in lanes:
            lane.silent = {bucket: silent for bucket, silent in lane.silent.items() if bucket >= end}
        state.last = {name: last for name, last in state.last.items() if end <= last + self._rules.clear_buckets}
        return findings

    def _buckets(self, start: int, end: int) -> list[int]:
        """Return the buckets in [`start`, `end`) that there may be something to tell of, in order."""
        silent = set.intersection(*(set(lane.silent) for lane in self._state.lanes))
        ends = {*silent, *self._state.last.values()}
        clear = {last + step for last in ends for step in range(1, self._rules.clear_buckets + 1)}
        return sorted(bucket for bucket in silent | clear if start <= bucket < end)

    def _tell(self, bucket: int) -> list[Event]:
        said = [lane.silent.get(bucket, {}) for lane in self._state.lanes]
        silent = {name: max(one[name] for one in said) for name in set.intersection(*(set(one) for one in said))}
        over = [
            name
            for name, last in self._state.last.items()
            if name not in silent and bucket <= last + self._rules.clear_buckets
        ]
        self._state.last |= dict.fromkeys(silent, bucket)
        return [self._finding(name, bucket, silent.get(name)) for name in sorted({*silent, *over})]

    def _finding(self, source: str, bucket: int, told: float | None) -> Event:
        """Return the finding about `source`; `told` is the newest time that it told, None where it is not silent."""
        seconds = self._rules.bucket_seconds
        end = canonical_time((bucket + 1) * seconds)
        behind = 0.0 if told is None else end - told
        record = FindingRecord(
            tenant=OWN_TENANT,
            model="",
            side="",
            detector=SILENCE,
            version=_VERSION,
            time=end,
            alarm=told is not None,
            score=0.0 if told is None else 1.0,
            bucket=bucket,
            bucket_seconds=seconds,
            statistic=behind,
            limit=self._rules.silence_seconds,
            feature=source,
            events=0,
            details={} if told is None else {"told": told, "log_time": end},
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
