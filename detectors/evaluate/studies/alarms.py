"""Alarms of stream detectors on simulated streams: run lengths without a change, and delays after a change."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from detectors.base import Observation, StreamDetector
from detectors.evaluate.studies.context import Row

#: Number of events before a change.
BEFORE = 300


def embedded(tag: str, embeddings: Iterable[bytes]) -> Iterator[Observation]:
    """Yield an event for each packed embedding, at times one second apart; ``tag`` makes the event ids unique."""
    for index, embedding in enumerate(embeddings):
        yield Observation(id=f"{tag}-{index}", time=float(index), features={}, embedding=embedding)


def first_alarm(detector: StreamDetector[Any], observations: Iterable[Observation], bucket: int = 1) -> int | None:
    """Return the number of observations up to a detector's first alarm, in steps of ``bucket``; None without an alarm."""
    left, number = iter(observations), 0
    while block := list(islice(left, bucket)):
        number += len(block)
        finding = detector.update_many(block)
        if finding is not None and finding.alarm:
            return number
    return None


def events_per_alarm(alarms: Sequence[int | None], longest: int) -> float:
    """Return the mean number of events per alarm; None in ``alarms`` means no alarm within ``longest`` events."""
    watched = sum(longest if alarm is None else alarm for alarm in alarms)
    return watched / max(1, sum(alarm is not None for alarm in alarms))


def cut_run_length_row(detector: str, data: str, alarms: Sequence[int | None], limit: int, longest: int) -> Row:
    """Return a table row with the mean run length / ``limit``: a lower bound, because runs are cut off after ``longest`` events."""
    length = float(np.mean([longest if alarm is None else alarm for alarm in alarms])) / limit
    cut = sum(alarm is None for alarm in alarms)
    return {"detector": detector, "data": data, "runs": len(alarms), "run_length": length, "cut": cut}


def delay_row(detector: str, data: str, delays: Sequence[float | None]) -> Row:
    """Return a table row with quantiles of delays; a quantile is None if too many changes had no alarm.

    A delay of at most 0 is an alarm before the change. A delay of None is a change without an alarm, longer than any other.
    """
    never = 1 << 30
    right = sorted(never if delay is None else delay for delay in delays if delay is None or delay > 0)
    median, high = (right[len(right) // 2], right[int(0.9 * len(right))]) if right else (never, never)
    return {
        "detector": detector,
        "data": data,
        "runs": len(delays),
        "delay_median": median if median < never else None,
        "delay_p90": high if high < never else None,
        "missed": sum(delay is None for delay in delays),
        "too_early": sum(delay is not None and delay <= 0 for delay in delays),
    }
