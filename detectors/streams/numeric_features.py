"""Numeric features of a stream: the bins of their values, and the means that describe a change's size.

The mean of a size (`SIZES`) is geometric, because a few timeouts would hide or feign a change of an arithmetic mean.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from detectors.base import Finding, Observation

#: Features whose values have no upper bound. All other features are shares and scores in [0, 1].
SIZES = (
    "characters",
    "words",
    "prompt_chars",
    "prompt_words",
    "completion_chars",
    "messages",
    "tool_calls",
    "prompt_tokens",
    "completion_tokens",
    "latency_seconds",
    "time_to_first_token_seconds",
)

BINS = 1024

#: Bins per doubling of a value: from 0.01 (seconds) to a million (tokens), values that differ by 3 % are in different bins.
RESOLUTION = 34
UNIT = 0.001
#: The recent mean is that of about so many values, and of at most so many during an alarm.
RECENT, RECENT_OF_ALARM = 10.0, 50.0


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


def _unit(name: str) -> float:
    """Return the amount that is added to each value of a size before the logarithm, so that zero has one; 0 for other features."""
    if name not in SIZES:
        return 0.0
    return UNIT if name.endswith("_seconds") else 1.0


class Moments(msgspec.Struct, kw_only=True):
    """Mean and variance of a feature outside alarms, and an exponentially weighted mean of all its values.

    The algorithm is Welford's (Technometrics 4(3), 1962).
    """

    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0
    recent: float = 0.0
    recent_count: float = RECENT

    def update_many(self, values: Iterable[float], alarms: Iterable[bool]) -> None:
        """Add values in order, except NaN; a value during an alarm changes only the recent mean."""
        count, mean, squares, recent, recent_count = self.count, self.mean, self.squares, self.recent, self.recent_count
        for value, alarm in zip(values, alarms, strict=True):
            if math.isnan(value):
                continue
            if not alarm:
                count += 1.0
                off = value - mean
                mean += 1.0 / count * off
                squares += off * (value - mean)
            recent_count = min(recent_count + 1.0, RECENT_OF_ALARM) if alarm else RECENT
            recent = value if count <= 1.0 else recent + (value - recent) / recent_count
        self.count, self.mean, self.squares, self.recent, self.recent_count = count, mean, squares, recent, recent_count

    @property
    def deviation(self) -> float:
        """The standard deviation of the values outside alarms."""
        return math.sqrt(max(0.0, self.squares / (self.count - 1.0))) if self.count > 1.0 else 0.0


class NumericFeatures:
    """The numeric features ``names`` of a stream, with the mean and variance of each; of a size, those of the logarithm."""

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
            unit = _unit(name)
            column = [math.log(max(0.0, value) + unit) for value in values[name]] if unit else values[name]
            moments.update_many(column, alarms)

    def explain(self, finding: Finding) -> Finding:
        """Add the means and the deviation of the finding's feature to its details, if this is a numeric feature.

        The deviation of a size is a factor.
        """
        name = finding.feature
        if name not in self.moments:
            return finding
        moments, unit = self.moments[name], _unit(name)
        means = {"reference_mean": moments.mean, "recent_mean": moments.recent}
        if unit:
            means = {key: math.exp(mean) - unit for key, mean in means.items()}
            means["reference_factor"] = math.exp(moments.deviation)
        else:
            means["reference_deviation"] = moments.deviation
        return msgspec.structs.replace(finding, details=finding.details | means)

    def restore(self, moments: Mapping[str, Moments]) -> None:
        """Continue with the moments of a snapshot; raise KeyError if a feature is missing."""
        self.moments = {name: moments[name] for name in self.moments}
