"""Ticks of sources that become inactive, return or close, as score forwards them; and a plain search for inactive sources."""

from stream.stages.watch.source_liveness import LivenessRules, SourceLiveness
from stream.wire import Event
from support.signal_log import SILENCE, score_tick

START = 900_000.0
WIDTH = 30.0
CLEAR = 3
DAY = 86_400.0


def rules(partitions: int, *, forget_seconds: float = DAY) -> LivenessRules:
    return LivenessRules(
        partitions=partitions,
        silence_seconds=SILENCE,
        bucket_seconds=WIDTH,
        clear_buckets=CLEAR,
        forget_seconds=forget_seconds,
    )


def tick_lanes(seconds, gaps, closes=None, partitions=1):
    """Return, by inference partition, one tick per second of the active sources.

    `gaps` has the inactive intervals of each source, `closes` the second at which a source closes.
    """
    closes = closes or {}
    lanes: list[list[Event]] = [[] for _ in range(partitions)]
    for second in range(1, seconds + 1):
        sources = {
            name: START + second
            for name, silent in gaps.items()
            if second <= closes.get(name, seconds) and not any(first <= second < last for first, last in silent)
        }
        closed = tuple(sorted(name for name, end in closes.items() if end == second))
        if sources or closed:
            for partition, lane in enumerate(lanes):
                lane.append(score_tick(partition, sources, closed))
    return lanes


def found(watch: SourceLiveness, log: list[Event], first: int = 0) -> list[Event]:
    return [event for offset, tick in enumerate(log, first) for event in watch.apply(tick.data, offset)]


def told(events: list[Event]) -> list[tuple[str, float, bool]]:
    """Return (source, seconds from START to the bucket's end, whether the source is inactive)."""
    return [(event.data.feature, event.data.time - START, event.data.alarm) for event in events]


def oracle(lane: list[Event]) -> set[tuple[str, float]]:
    """Return {(source, seconds from START to the end of a bucket in which it is inactive)}, from a plain pass over one lane."""
    newest: dict[str, float] = {}
    result: set[tuple[str, float]] = set()
    ended = None
    for event in lane:
        newest |= event.data.sources
        for name in event.data.closed:
            newest.pop(name, None)
        now = max(newest.values(), default=0.0)
        low = min((time for time in newest.values() if now - time < SILENCE), default=0.0)
        bucket = int(low // WIDTH)
        for number in range(bucket if ended is None else ended, bucket):
            end = (number + 1) * WIDTH
            result |= {(name, end - START) for name, time in newest.items() if end - time >= SILENCE}
        ended = max(bucket, ended or 0)
    return result
