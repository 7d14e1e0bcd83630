"""What the ledger sees of time: how far sources have come, how far verdicts lag behind inference."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stream.ledger.alerts.gaps import Gaps
from stream.ledger.coverage import Missing, SourceTime
from stream.ledger.detector_health import Unanswered
from stream.ledger.sources import FullSpool, full_spools

__all__ = ["Observation", "log_time", "observe", "read_to"]


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
    gaps
        What capture accepted and could not keep, and no alert has told to its end.
    heard
        {detector: event time of its newest answer, None where it gave none}.
    unanswered
        What detectors owe since their newest answer.
    told
        {detector: silences that began with its newest answer and have resolved}; one more needs another id.
    spools
        Sources whose spool is past its bound.
    """

    log_time: float
    missing: Missing = Missing()
    lag_seconds: float = 0.0
    lag_at: str = ""
    gaps: Gaps = Gaps()
    heard: dict[str, float | None] = {}
    unanswered: tuple[Unanswered, ...] = ()
    told: dict[str, int] = {}
    spools: tuple[FullSpool, ...] = ()


def log_time(shards: Mapping[int, Sequence[SourceTime]]) -> float:
    """Return the newest time that any source has told; 0 where there is none."""
    times = (one.capture_time for sources in shards.values() for one in sources)
    return max((time for time in times if time is not None), default=0.0)


def read_to(shards: Mapping[int, Sequence[SourceTime]]) -> float | None:
    """Return the log time that every partition was read to: no partition brings anything that stands earlier. None before."""
    times = [
        max((one.capture_time for one in shard if one.capture_time is not None), default=None)
        for shard in shards.values()
    ]
    known = [time for time in times if time is not None]
    return min(known) if known and len(known) == len(times) else None


def observe(shards: Mapping[int, Sequence[SourceTime]], missing: Missing, **more: Any) -> Observation:
    """Return what {partition: its sources} and `missing` say together; `more` are further fields of the observation."""
    lag, lag_at = _lag(shards)
    spools = full_spools(shards.values())
    return Observation(
        log_time=log_time(shards), missing=missing, lag_seconds=lag, lag_at=lag_at, spools=spools, **more
    )


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
