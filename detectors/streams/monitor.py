"""Several features under one alarm budget: the part that drift and anomaly share.

Each feature has a share of the budget, which its regions divide; the statistic is the average of all their sums, and it
alarms at the limit. While it alarms nothing is learned, and what was learned since the change began is forgotten: the alarm
lasts as long as the changed traffic does, and ends a few events after it. Then the sums begin anew.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.base import Finding, Observation
from detectors.streams.conversations import TURNS, Conversations, ConversationsState
from detectors.streams.sequential_tests import Moment, Regions, RegionsState

__all__ = ["Budget", "Feature", "Monitor", "MonitorState"]

#: How far past the limit the statistic is let: the further, the longer an alarm outlives its cause.
HEADROOM = 4.0
DAY_SECONDS = 86_400.0
SLOT_SECONDS = 1_800.0


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """How often a false alarm is allowed, and on what kind of stream.

    Attributes
    ----------
    limit
        Mean distance of two false alarms, at least: in events, or in days where ``days``.
    days
        Whether the limit is in days of event time.
    daily
        Whether values are ranked among those of the same half-hour of the day (UTC) alone.
    conversation_events
        Window in which one event a conversation is looked at; 0 looks at every event.
    conversation_turns
        What one id suppresses in the window at least; see `detectors.streams.conversations`.
    """

    limit: float
    days: bool = False
    daily: bool = True
    conversation_events: int = 512
    conversation_turns: int = TURNS

    def slot(self, time: float) -> int:
        """Return the group of an event."""
        return int(time % DAY_SECONDS // SLOT_SECONDS) if self.daily else 0


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """A tracked feature.

    Attributes
    ----------
    share
        Of the alarm budget; shares add up to 1.
    tails
        1 where large values are watched, 2 where small ones are too.
    warm_up
        Values that are only remembered, before the first bet.
    scores
        How many numbers it has, each watched by itself.
    fractions
        Which outermost parts of the first values are the regions of a score's tail.
    """

    share: float
    tails: int
    warm_up: int
    scores: int = 1
    fractions: tuple[float, ...] = (0.03, 0.1, 0.3)


class MonitorState(msgspec.Struct, frozen=True, kw_only=True, tag="e-detector"):
    """A snapshot of a `Monitor`; ``waiting`` holds the first values of a feature, and the slot of the day of each."""

    regions: RegionsState
    waiting: dict[str, list[tuple[int, list[float]]]]
    conversations: ConversationsState
    events: int
    last_time: float
    alarm: bool


class Monitor:
    """Regions by feature and their common statistic.

    Parameters
    ----------
    features
        What is tracked.
    budget
        How often a false alarm is allowed.
    """

    def __init__(self, features: Mapping[str, Feature], budget: Budget) -> None:
        self._features = dict(features)
        self._budget = budget
        self._columns: dict[str, slice] = {}
        layout: list[tuple[str, int, float, float]] = []
        first = 0
        for name, feature in features.items():
            self._columns[name] = slice(first, first + feature.scores)
            columns = range(first, first + feature.scores)
            signs = (1.0, -1.0)[: feature.tails]
            layout += [(name, c, sign, part) for c in columns for sign in signs for part in feature.fractions]
            first += feature.scores
        #: By region: its feature, the column of its score, 1 or -1 by the tail that it watches, its part of the reference.
        self.layout = layout
        self.blank = np.full(first, np.nan)
        names = [row[0] for row in layout]
        #: By region: its share of the budget.
        self.weights = np.array([features[name].share / names.count(name) for name in names])
        self._regions = Regions(
            np.array([row[1] for row in layout], dtype=np.intp),
            np.array([row[2] for row in layout]),
            self.weights,
            limit=budget.limit,
        )
        self._waiting: dict[str, list[tuple[int, list[float]]]] = {name: [] for name in features}
        self._conversations = Conversations(budget.conversation_events, budget.conversation_turns)
        self._events = 0
        self._last_time = 0.0
        self._alarm = False
        self._highest = 0.0

    @property
    def ready(self) -> bool:
        """Whether any feature is past its warm-up."""
        return len(self._waiting) < len(self._features)

    @property
    def events(self) -> int:
        """How many events were taken: the number of the next one."""
        return self._events

    @property
    def alarm(self) -> bool:
        """Whether the statistic is past its limit."""
        return self._alarm

    @property
    def statistic(self) -> float:
        """The average of the regions' sums, weighted by their shares."""
        return self._regions.statistic

    def columns(self, feature: str) -> slice:
        """Return where a feature's scores are in `update`'s."""
        return self._columns[feature]

    def renew(self, *names: str) -> None:
        """Begin these features anew: what they were measured by has changed."""
        self._regions.renew(np.array([row[0] in names for row in self.layout]))
        self._waiting = {
            name: self._waiting.get(name, []) for name in self._features if name in {*self._waiting, *names}
        }
        for name in names:
            self._waiting[name] = []

    def looks_at(self, observation: Observation) -> bool:
        """Return whether an event is looked at; asked once of each event, in order."""
        return self._conversations.looks_at(observation.principal, observation.conversation)

    def update_many(
        self,
        observations: Sequence[Observation],
        looked: Sequence[bool],
        scores: NDArray[np.float64],
        chances: Sequence[float],
    ) -> list[bool]:
        """Take events in order, as `update` would one by one; return whether there was an alarm before each.

        Parameters
        ----------
        observations, looked
            The events, (n,), and which of them are looked at.
        scores, chances
            As for `update`, a row an event, (n, scores).
        """
        alarms: list[bool] = []
        at = 0
        while at < len(observations):
            taken = self._together(observations[at:], looked[at:], scores[at:], chances[at:])
            if taken:
                alarms += [False] * taken
            else:
                alarms.append(self._alarm)
                self.update(observations[at], scores[at] if looked[at] else None, chances[at])
            at += max(1, taken)
        return alarms

    def _together(
        self,
        observations: Sequence[Observation],
        looked: Sequence[bool],
        scores: NDArray[np.float64],
        chances: Sequence[float],
    ) -> int:
        """Take the first of these events at once, as far as nothing has to be judged in between; return how many."""
        if self._alarm or self._waiting or self._budget.days or len(observations) == 1 or not self._regions.calm:
            return 0
        slots = [self._budget.slot(observation.time) for observation in observations]
        count = next((place for place, slot in enumerate(slots) if slot != slots[0]), len(slots))
        moments = [
            Moment(event=self._events + place, time=one.time, slot=slots[0], step=1.0, chance=chance)
            for place, (one, chance) in enumerate(zip(observations[:count], chances[:count], strict=True))
        ]
        mine = looked[:count]
        taken, highest = self._regions.update_many(scores[:count][np.array(mine)], mine, moments)
        self._events += taken
        self._highest = max(self._highest, highest)
        if taken:
            self._judge()
        return taken

    def update(self, observation: Observation, scores: NDArray[np.float64] | None, chance: float) -> None:
        """Take one event.

        Parameters
        ----------
        observation
            The event; its time and identity alone are read.
        scores
            In the order of `columns`, NaN where it has none, ties broken; None where it is not looked at.
        chance
            Uniform in (0, 1), a function of the event alone.
        """
        step = self._step(observation.time)
        if scores is None:
            self._regions.wait(step)
        else:
            slot = self._budget.slot(observation.time)
            moment = Moment(event=self._events, time=observation.time, slot=slot, step=step, chance=chance)
            self._regions.update(scores, moment, alarm=self._alarm)
            self._learn_first(scores, slot)
        self._events += 1
        self._judge()

    def _step(self, time: float) -> float:
        if not self._budget.days:
            return 1.0
        passed = time - self._last_time if self._events else 0.0
        self._last_time = max(self._last_time, time)
        return max(0.0, passed) / DAY_SECONDS

    def _judge(self) -> None:
        statistic = self._regions.statistic
        self._highest = max(self._highest, statistic)
        alarm = statistic >= self._budget.limit
        if alarm and not self._alarm:
            self._regions.forget(self._regions.change(self._regions.leading()).event)
        elif self._alarm and not alarm:
            self._regions.restart()
        if alarm:
            self._regions.hold(HEADROOM * self._budget.limit)
        self._alarm = alarm

    def _learn_first(self, scores: NDArray[np.float64], slot: int) -> None:
        """Remember the first values of each feature; enough of them fix its regions."""
        for name in list(self._waiting):
            values = scores[self._columns[name]].tolist()
            if values[0] == values[0]:  # not NaN
                self._waiting[name].append((slot, values))
                if len(self._waiting[name]) >= self._features[name].warm_up:
                    self._begin(name, self._waiting.pop(name))

    def _begin(self, name: str, first: list[tuple[int, list[float]]]) -> None:
        slots = np.array([slot for slot, _ in first], dtype=np.int64)
        values = np.array([row for _, row in first])
        start = self._columns[name].start
        for region, (feature, column, _, fraction) in enumerate(self.layout):
            if feature == name:
                self._regions.begin(region, values[:, column - start], slots, fraction)

    def close(self) -> Finding | None:
        """Return the finding of the bucket that ends here, and begin the next one.

        Its statistic is the highest of the bucket, so that an alarm that comes and goes within one is not missed.
        """
        statistic, limit = max(self._highest, self.statistic), float(self._budget.limit)
        self._highest = 0.0
        if not self.ready:
            return None
        leading = self._regions.leading()
        feature, column, sign, fraction = self.layout[leading]
        change = self._regions.change(leading)
        return Finding(
            score=statistic / (statistic + limit),
            statistic=statistic,
            limit=limit,
            feature=feature,
            alarm=statistic >= limit,
            details={
                "events": float(self._events),
                "changed_events_ago": float(self._events) - change.event,
                "changed_at": change.time,
                "part": float(column - self._columns[feature].start),
                "direction": sign,
                "share_of_reference": fraction,
                "share_before": change.share_before,
                "share_since": change.share_since,
            },
        )

    def snapshot(self) -> MonitorState:
        """Return an immutable copy of the state, between two buckets."""
        return MonitorState(
            regions=self._regions.snapshot(),
            waiting={name: list(rows) for name, rows in self._waiting.items()},
            conversations=self._conversations.snapshot(),
            events=self._events,
            last_time=self._last_time,
            alarm=self._alarm,
        )

    def restore(self, state: msgspec.Struct) -> None:
        """Continue from a snapshot.

        Raises
        ------
        ValueError
            It tracks other features, or its regions have another shape.
        """
        if not isinstance(state, MonitorState):
            raise ValueError(f"a monitor of e-detectors cannot take a {type(state).__name__}")  # noqa: TRY004 - as `restoring` has it
        widths = {name: {len(values) for _, values in rows} for name, rows in state.waiting.items()}
        if any(name not in self._features or widths[name] - {self._features[name].scores} for name in widths):
            raise ValueError(f"a monitor of {sorted(self._features)} cannot take the first values of {sorted(widths)}")
        self._regions.restore(state.regions)
        self._conversations.restore(state.conversations)
        self._waiting = {name: list(state.waiting[name]) for name in self._features if name in state.waiting}
        self._events, self._last_time, self._alarm = state.events, state.last_time, state.alarm
        self._highest = 0.0
