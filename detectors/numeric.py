"""Numeric features for the monitor: values to bins, and running moments that say how large a change is."""

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from river import stats

from detectors.base import Finding, Observation

__all__ = ["BINS", "Moments", "MomentsState", "NumericFeatures", "place"]

BINS = 1024

#: Bins an octave above `UNIT`: values that differ by 2 % lie apart, from a millisecond to a million tokens.
RESOLUTION = 34
UNIT = 0.001
RECENT = 0.1


def place(value: float) -> int | None:
    """Return the bin of a value, None where it is no finite number; negative values share the lowest bin."""
    if not math.isfinite(value):
        return None
    return min(BINS - 1, int(RESOLUTION * math.log2(1.0 + max(0.0, value) / UNIT)))


class MomentsState(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of `Moments`."""

    count: float
    mean: float
    squares: float
    recent: float


class Moments:
    """Mean and variance of the reference (river's Welford), and an exponentially weighted recent mean."""

    def __init__(self) -> None:
        self._reference = stats.Var()
        self._recent = 0.0

    def update(self, value: float, *, learn: bool) -> None:
        """Take a value; it is part of the reference if ``learn``."""
        if learn:
            self._reference.update(value)
        first = self._reference.n <= 1
        self._recent = value if first else self._recent + RECENT * (value - self._recent)

    def details(self) -> dict[str, float]:
        """Return what a finding tells of them."""
        mean, deviation = float(self._reference.mean.get()), math.sqrt(max(0.0, float(self._reference.get())))
        return {"reference_mean": mean, "reference_deviation": deviation, "recent_mean": self._recent}

    def snapshot(self) -> MomentsState:
        """Return an immutable copy of the state."""
        return MomentsState(
            count=float(self._reference.n),
            mean=float(self._reference.mean.get()),
            squares=float(self._reference._S),  # noqa: SLF001 - the variance is rounded, and replays are compared exactly
            recent=self._recent,
        )

    def restore(self, state: MomentsState) -> None:
        """Continue from a snapshot."""
        self._reference = stats.Var()
        self._reference.mean = stats.Mean._from_state(state.count, state.mean)  # noqa: SLF001 - river's way in
        self._reference._S = state.squares  # noqa: SLF001 - as above
        self._recent = state.recent


class NumericFeatures:
    """A stream's numeric features, as drift and anomaly take them.

    Parameters
    ----------
    names
        Which of an observation's features.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._moments = {name: Moments() for name in names}

    def scores(
        self, observations: Sequence[Observation], looked: Sequence[bool], ties: Sequence[float]
    ) -> dict[str, list[float]]:
        """Return each feature's score of each event: its bin, plus the event's tie, which is in (0, 1); NaN where it has none."""
        return {
            name: [
                where + tie
                if mine and (where := place(observation.features.get(name, math.nan))) is not None
                else math.nan
                for observation, mine, tie in zip(observations, looked, ties, strict=True)
            ]
            for name in self._moments
        }

    def update(self, observations: Sequence[Observation], looked: Sequence[bool], alarms: Sequence[bool]) -> None:
        """Take events; the values of one are part of the reference unless there was an alarm before it."""
        for name, moments in self._moments.items():
            for observation, mine, alarm in zip(observations, looked, alarms, strict=True):
                value = observation.features.get(name)
                if mine and value is not None and math.isfinite(value):
                    moments.update(value, learn=not alarm)

    def explain(self, finding: Finding) -> Finding:
        """Add what the moments of the leading feature tell, where that is one of these."""
        moments = self._moments.get(finding.feature)
        if moments is None:
            return finding
        return msgspec.structs.replace(finding, details=finding.details | moments.details())

    def snapshot(self) -> dict[str, MomentsState]:
        """Return an immutable copy of the state."""
        return {name: moments.snapshot() for name, moments in self._moments.items()}

    def restore(self, states: Mapping[str, MomentsState]) -> None:
        """Continue from a snapshot.

        Raises
        ------
        KeyError
            It lacks a feature.
        """
        for name, moments in self._moments.items():
            moments.restore(states[name])
