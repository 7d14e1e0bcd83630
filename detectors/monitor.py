"""Several trackers under one alarm budget: the part that drift and anomaly share.

Each tracked feature has a share of the budget; the statistic is the average of the trackers' sums weighted by these
shares, and it alarms at ``alarm_every_events``. While it alarms nothing is learned, and what was learned since the change
began is forgotten: the alarm lasts as long as the changed traffic does, and ends a few events after it.
"""

from collections.abc import Mapping

import msgspec

from detectors.base import Finding
from detectors.sequential import BETS, Tracker, TrackerState

__all__ = ["Feature", "Monitor", "MonitorState"]

#: How far past the limit the statistic is let: the further, the longer an alarm outlives its cause.
HEADROOM = 4.0


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """A tracked feature: how many tails are watched, and its share of the alarm budget (shares add up to 1)."""

    tails: int
    share: float


class MonitorState(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a `Monitor`."""

    trackers: dict[str, TrackerState]
    events: int
    alarm: bool


class Monitor:
    """Trackers by feature and their common statistic.

    Parameters
    ----------
    features
        What is tracked.
    limit
        The mean number of events between false alarms, at least.
    warm_up
        Values of a feature that are only remembered, before its first bet.
    """

    def __init__(self, features: Mapping[str, Feature], *, limit: int, warm_up: int) -> None:
        self.limit = limit
        self._features = dict(features)
        self.trackers = {
            name: Tracker(tails=f.tails, warm_up=warm_up, highest=HEADROOM * limit * f.tails * len(BETS) / f.share)
            for name, f in features.items()
        }
        self._events = 0
        self._alarm = False
        self._highest = 0.0

    @property
    def ready(self) -> bool:
        """Whether any tracker is past its warm-up."""
        return any(tracker.ready for tracker in self.trackers.values())

    @property
    def alarm(self) -> bool:
        """Whether the statistic is past its limit."""
        return self._alarm

    def statistic(self) -> float:
        """Return the average of the trackers' sums, weighted by their shares."""
        return sum(self._features[name].share * tracker.statistic for name, tracker in self.trackers.items())

    def update(self, placed: Mapping[str, tuple[int, float]]) -> None:
        """Take one event: the bin and the tie-breaker of each feature that it has."""
        self._events += 1
        for name, (place, tie) in placed.items():
            self.trackers[name].update(place, tie, learn=not self._alarm)
        statistic = self.statistic()
        self._highest = max(self._highest, statistic)
        alarm = statistic >= self.limit
        if alarm and not self._alarm:
            for tracker in self.trackers.values():
                tracker.forget_change()
        self._alarm = alarm

    def close(self) -> Finding | None:
        """Return the finding of the bucket that ends here, and begin the next one.

        Its statistic is the highest of the bucket, so that an alarm that comes and goes within one is not missed.
        """
        statistic = max(self._highest, self.statistic())
        self._highest = 0.0
        if not self.ready:
            return None
        leading = max(self.trackers, key=lambda name: self._features[name].share * self.trackers[name].statistic)
        return Finding(
            score=statistic / (statistic + self.limit),
            statistic=statistic,
            limit=float(self.limit),
            feature=leading,
            alarm=statistic >= self.limit,
            details={"events": float(self._events), "changed_events_ago": float(self.trackers[leading].run)},
        )

    def snapshot(self) -> MonitorState:
        """Return an immutable copy of the state, between two buckets."""
        trackers = {name: tracker.snapshot() for name, tracker in self.trackers.items()}
        return MonitorState(trackers=trackers, events=self._events, alarm=self._alarm)

    def restore(self, state: MonitorState) -> None:
        """Continue from a snapshot.

        Raises
        ------
        ValueError
            It tracks other features, or a tracker has another shape.
        """
        if state.trackers.keys() != self.trackers.keys():
            raise ValueError(f"a monitor of {sorted(self.trackers)} cannot take {sorted(state.trackers)}")
        for name, tracker in self.trackers.items():
            tracker.restore(state.trackers[name])
        self._events, self._alarm, self._highest = state.events, state.alarm, 0.0
