"""What the ledger sees of time: how far sources have come, who is silent, how far verdicts lag behind inference."""

from collections.abc import Mapping, Sequence

import msgspec

from stream.ledger.coverage import Missing, SourceTime

__all__ = ["Observation", "log_time", "observe"]


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the ledger's own alerts are decided from; a function of the log.

    Parameters
    ----------
    log_time
        The newest time that any source has told, seconds since the epoch.
    missing
        Owed pairs whose time has passed without a verdict.
    lag_seconds
        How far verdicts are behind inference, by the times of the worst partition and source.
    lag_at
        That partition, source and time, as an identity.
    silent
        {source: its newest time} of sources that are behind the others by more than the bound.
    """

    log_time: float
    missing: Missing = Missing()
    lag_seconds: float = 0.0
    lag_at: str = ""
    silent: dict[str, float] = {}


def log_time(shards: Mapping[int, Sequence[SourceTime]]) -> float:
    """Return the newest time that any source has told; 0 where there is none."""
    times = (one.capture_time for sources in shards.values() for one in sources)
    return max((time for time in times if time is not None), default=0.0)


def observe(
    shards: Mapping[int, Sequence[SourceTime]], missing: Missing, *, source_silence_seconds: float
) -> Observation:
    """Return what {partition: its sources} and `missing` say together."""
    now = log_time(shards)
    lag, lag_at = _lag(shards)
    newest, closed = _newest(shards)
    silent = {
        source: time for source, time in newest.items() if source not in closed and now - time > source_silence_seconds
    }
    return Observation(log_time=now, missing=missing, lag_seconds=lag, lag_at=lag_at, silent=silent)


def _lag(shards: Mapping[int, Sequence[SourceTime]]) -> tuple[float, str]:
    worst, where = 0.0, ""
    for partition, sources in sorted(shards.items()):
        for one in sources:
            reached = one.score_time if one.score_time is not None else one.first_time
            if one.score_closed or one.capture_time is None or reached is None:
                continue
            if one.capture_time - reached > worst:
                worst, where = one.capture_time - reached, f"{partition}/{one.source}@{reached}"
    return worst, where


def _newest(shards: Mapping[int, Sequence[SourceTime]]) -> tuple[dict[str, float], set[str]]:
    """Return every source's newest time over the partitions, and the sources that have closed in any."""
    newest: dict[str, float] = {}
    closed: set[str] = set()
    for sources in shards.values():
        for one in sources:
            if one.capture_time is not None:
                newest[one.source] = max(newest.get(one.source, 0.0), one.capture_time)
            if one.capture_closed or one.score_closed:
                closed.add(one.source)
    return newest, closed
