"""Numeric features of a stream: the bins of their values, and the mean and variance that describe a change's size."""

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from detectors.base import Finding, Observation

BINS = 1024

#: Bins per doubling of a value: from 0.01 (seconds) to a million (tokens), values that differ by 3 % are in different bins.
RESOLUTION = 34
UNIT = 0.001
RECENT = 0.1
#: In mean and variance, a value differs from the mean by at most this multiple of the larger of mean and deviation.
OUTLIER = 30.0


def scores_of(values: Sequence[float], ties: Sequence[float]) -> list[float]:
    """Return the score of each value: its bin plus its event's tie-break in (0, 1); NaN if the value is not finite."""
    return [
        math.nan if (index := bin_of(value)) is None else index + tie for value, tie in zip(values, ties, strict=True)
    ]


def bin_of(value: float) -> int | None:
    """Return the bin of a value, or None if the value is not finite; negative values are in the lowest bin."""
    if not math.isfinite(value):
        return None
    return int(min(BINS - 1, RESOLUTION * math.log2(1.0 + max(0.0, value) / UNIT)))


class Moments(msgspec.Struct, kw_only=True):
    """Mean and variance of a feature outside alarms, and an exponentially weighted mean of all its values.

    The algorithm is Welford's (Technometrics 4(3), 1962). Extreme values are limited (`OUTLIER`), because one wrong latency of
    hours would raise the mean permanently and hide later changes.
    """

    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0
    recent: float = 0.0

    def update_many(self, values: Iterable[float], alarms: Iterable[bool]) -> None:
        """Add values in order, except NaN; a value during an alarm changes only the recent mean."""
        count, mean, squares, recent = self.count, self.mean, self.squares, self.recent
        for value, alarm in zip(values, alarms, strict=True):
            if math.isnan(value):
                continue
            if not alarm:
                bounded = value
                if count:
                    room = max(1.0, OUTLIER * max(mean, math.sqrt(squares / count)))
                    bounded = min(max(value, mean - room), mean + room)
                count += 1.0
                off = bounded - mean
                mean += 1.0 / count * off
                squares += off * (bounded - mean)
            recent = value if count <= 1.0 else recent + RECENT * (value - recent)
        self.count, self.mean, self.squares, self.recent = count, mean, squares, recent

    def details(self) -> dict[str, float]:
        """Return mean, standard deviation and recent mean as details of a finding."""
        variance = self.squares / (self.count - 1.0) if self.count > 1.0 else 0.0
        deviation = math.sqrt(max(0.0, variance))
        return {"reference_mean": self.mean, "reference_deviation": deviation, "recent_mean": self.recent}


class NumericFeatures:
    """The numeric features ``names`` of a stream, with the mean and variance of each."""

    def __init__(self, names: Iterable[str]) -> None:
        self.moments = {name: Moments() for name in names}

    def read(self, observations: Sequence[Observation], looked: Sequence[bool]) -> dict[str, list[float]]:
        """Return the values of each feature, one per event; NaN if the event is not used or the value is not finite."""
        return {
            name: [
                value if mine and math.isfinite(value := observation.features.get(name, math.nan)) else math.nan
                for observation, mine in zip(observations, looked, strict=True)
            ]
            for name in self.moments
        }

    def update(self, values: Mapping[str, Sequence[float]], alarms: Sequence[bool]) -> None:
        """Add the values that `read` returned; an event during an alarm changes only the recent means."""
        for name, moments in self.moments.items():
            moments.update_many(values[name], alarms)

    def explain(self, finding: Finding) -> Finding:
        """Add the mean and deviation of the finding's feature to its details, if this is a numeric feature."""
        moments = self.moments.get(finding.feature)
        if moments is None:
            return finding
        return msgspec.structs.replace(finding, details=finding.details | moments.details())

    def restore(self, moments: Mapping[str, Moments]) -> None:
        """Continue with the moments of a snapshot; raise KeyError if a feature is missing."""
        self.moments = {name: moments[name] for name in self.moments}
