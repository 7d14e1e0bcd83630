"""Test of several features under one alarm budget, used by the drift, anomaly and sentinel detectors.

Each feature has a share of the budget, divided equally among its regions (ranges of values, see `sequential_tests`).
Each region has Shiryaev-Roberts sums; the statistic is the weighted average of all sums. An alarm starts when the
statistic reaches the limit. At the start of an alarm, the values since the start of the change are removed from the
history. During an alarm, no value is added to the history. An alarm lasts until there is evidence of recovery
(`recovery`), so it ends a few events after the changed traffic ends. At the end of an alarm, the sums are reset.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.base import Finding, Observation, too_small
from detectors.streams.conversations import TURNS, Conversations, ConversationsState
from detectors.streams.numeric_features import NumericFeatures, scores_of
from detectors.streams.recent import Change
from detectors.streams.recovery import Part, Recovery
from detectors.streams.sequential_tests import BettingStep, ReferenceRegions, RegionsState, tie_break

#: Cap of each feature's part of the statistic in multiples of the limit; a higher cap makes an alarm outlast its cause.
HEADROOM = 4.0
DAY_SECONDS = 86_400.0
#: The time between two events uses at most this share of a budget in days, because a long pause must not cause an alarm.
MOST_SPENT = 0.1
SLOT_SECONDS = 1_800.0
#: Maximum number of events that are processed together, which bounds the cost of a batch that ends early.
_BATCH = 512


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The alarm budget, and the options that select which events and values are compared."""

    #: Lowest mean time between false alarms: in events, or in days if ``days``.
    limit: float
    #: Whether the limit is in days of event time.
    days: bool = False
    #: Whether values are ranked only among those of the same half-hour of the day (UTC).
    daily: bool = True
    #: Size, in events, of the window in which one event per conversation is used; 0 uses every event.
    conversation_events: int = 512
    #: Maximum number of turns of a conversation in the window that count as one event; see `detectors.streams.conversations`.
    conversation_turns: int = TURNS

    def slot(self, time: float) -> int:
        """Return the half-hour of the day, 0 to 47, or 0 if values of all times of day are compared."""
        return int(time % DAY_SECONDS // SLOT_SECONDS) if self.daily else 0


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """A feature that the monitor tests: one or more scores per event."""

    #: Share of the alarm budget; all shares add up to 1.
    share: float
    #: 1 tests for large values, 2 tests for small values too.
    tails: int
    #: Number of reference values before the first bet.
    warm_up: int
    #: Number of scores of the feature, each tested separately.
    scores: int = 1
    #: Each region of a tail contains this share of the reference: its most extreme values.
    fractions: tuple[float, ...] = (0.03, 0.1, 0.3)
    #: Whether the values are 0 or 1; then the only region contains the ones, and `tails` and `fractions` are not used.
    binary: bool = False
    #: The feature that is reported instead of this feature's last score if both explain an alarm.
    instead: str = ""


class MonitorState(msgspec.Struct, frozen=True, kw_only=True, tag="e-detector"):
    """A snapshot of a `Monitor`; ``waiting`` contains (slot, scores) of the values of each incomplete reference."""

    regions: RegionsState
    waiting: dict[str, list[tuple[int, list[float]]]]
    conversations: ConversationsState
    events: int
    last_time: float
    recovery: Recovery | None
    large: list[str]


class Inputs(NamedTuple):
    """What a monitor reads of n events, in order."""

    observations: Sequence[Observation]
    #: Whether each event is used, (n,).
    looked: Sequence[bool]
    #: Scores in the order of `FeatureScores.columns`, with ties broken, (n, columns); NaN for a missing score.
    scores: NDArray[np.float64]
    #: Two random numbers in (0, 1) of each event, (n, 2), which depend only on the event: to break ties, and for the bets.
    random: Sequence[tuple[float, float]]


class FeatureScores:
    """The columns of the features' scores, and the events that are used."""

    def __init__(self, features: Mapping[str, Feature], budget: Budget) -> None:
        self._features = dict(features)
        #: Columns of each feature in `Inputs.scores`, and an event without scores.
        self.columns: dict[str, slice] = {}
        width = 0
        for name, feature in features.items():
            self.columns[name] = slice(width, width := width + feature.scores)
        self.blank = np.full(width, np.nan)
        self._conversations = Conversations(budget.conversation_events, budget.conversation_turns)
        #: Number of processed events; also the number of the next event, because event numbers start at 0.
        self.events = 0

    def read(
        self, observations: Sequence[Observation], numbers: NumericFeatures, seed: int
    ) -> tuple[Inputs, dict[str, list[float]]]:
        """Return the inputs of events with the scores of their numeric features, and the values of these features.

        Call this method once per event, in order: of a conversation, only some events are used.
        """
        looks_at = self._conversations.looks_at
        looked = [looks_at(one.principal, one.conversation, one.turns, one.id) for one in observations]
        drawn = [
            tie_break(seed, one.id) if mine else (0.0, 0.0) for one, mine in zip(observations, looked, strict=True)
        ]
        scores = np.full((len(looked), len(self.blank)), np.nan)
        values = numbers.read(observations, looked)
        for name, column in values.items():
            scores[:, self.columns[name].start] = scores_of(column, [tie for tie, _ in drawn])
        return Inputs(observations, looked, scores, drawn), values


class Monitor(FeatureScores):
    """The regions of several features, and the statistic that combines their sums."""

    def __init__(self, features: Mapping[str, Feature], budget: Budget) -> None:
        super().__init__(features, budget)
        self._budget = budget
        layout: list[tuple[str, int, float, float]] = []
        for name, feature in features.items():
            columns = range(self.columns[name].start, self.columns[name].stop)
            signs = (1.0, -1.0)[: 1 if feature.binary else feature.tails]
            fractions = (0.0,) if feature.binary else feature.fractions
            layout += [(name, c, sign, part) for c in columns for sign in signs for part in fractions]
        #: For each region: feature, column of the score, tail (1 upper, -1 lower), share of the reference in it.
        self.layout = layout
        names = [row[0] for row in layout]
        self._names = list(features)
        #: The number of each region's feature.
        self._groups = np.array([self._names.index(name) for name in names], dtype=np.intp)
        #: Share of the budget by region.
        self.weights = np.array([features[name].share / names.count(name) for name in names])
        self._regions = ReferenceRegions(
            np.array([row[1] for row in layout], dtype=np.intp),
            np.array([row[2] for row in layout]),
            self.weights,
            np.array([features[row[0]].binary for row in layout]),
            limit=budget.limit,
        )
        self._waiting: dict[str, list[tuple[int, list[float]]]] = {name: [] for name in features}
        self._last_time = 0.0
        self._highest = 0.0
        #: The leading region and the change of the last alarm that started or ended in this bucket.
        self._ended: tuple[int, Change] | None = None
        #: The features whose change was large in a bucket of the present alarm.
        self._large: set[str] = set()
        #: During an alarm, the evidence that it can end.
        self._recovery: Recovery | None = None

    @property
    def ready(self) -> bool:
        """Whether the reference of any feature is complete."""
        return len(self._waiting) < len(self._features)

    @property
    def alarm(self) -> bool:
        """Whether the statistic has reached its limit, and the alarm has not ended."""
        return self._recovery is not None

    def renew(self, *names: str) -> None:
        """Start a new reference for these features, because new values are not comparable with the history."""
        self._regions.renew(np.array([row[0] in names for row in self.layout]))
        waiting = self._waiting | {name: [] for name in names}
        self._waiting = {name: waiting[name] for name in self._features if name in waiting}

    def totals(self) -> NDArray[np.float64]:
        """Return the learned values of each region of the `layout`; see `ReferenceRegions.totals`."""
        return self._regions.totals()

    def update_many(self, inputs: Inputs) -> list[bool]:
        """Process n events in order, each as `update` does; return whether an alarm was on before each event."""
        observations, looked, scores, random = inputs
        alarms: list[bool] = []
        while (at := len(alarms)) < len(observations):
            taken = self._update_batch(at, inputs)
            if taken:
                alarms += [False] * taken
            else:
                alarms.append(self.alarm)
                self.update(observations[at], scores[at] if looked[at] else None, random[at][1])
        return alarms

    def _update_batch(self, at: int, inputs: Inputs) -> int:
        """Process events together from index ``at``; stop before an event that needs `update`; return the number processed."""
        observations, looked, scores, random = inputs
        last = at + 1 == len(observations)
        if self.alarm or self._waiting or self._budget.days or last or not self._regions.batchable:
            return 0
        slots = [self._budget.slot(observation.time) for observation in observations[at : at + _BATCH]]
        part = slice(at, at + next((index for index, slot in enumerate(slots) if slot != slots[0]), len(slots)))
        steps = [
            BettingStep(event=self.events + index, time=observation.time, slot=slots[0], increment=1.0, draw=draw)
            for index, (observation, (_, draw)) in enumerate(zip(observations[part], random[part], strict=True))
        ]
        flags = looked[part]
        taken, highest = self._regions.update_many(scores[part][np.array(flags)], flags, steps)
        self.events += taken
        self._highest = max(self._highest, highest)
        if taken:
            self._check_limit(slots[0])
        return taken

    def update(self, observation: Observation, scores: NDArray[np.float64] | None, draw: float) -> None:
        """Process one event, of which only the time is read.

        `scores` are in the order of `columns`, with ties broken; NaN for a missing score; None if the event is not used. `draw` is a
        uniform random number in (0, 1) that depends only on the event.
        """
        increment = self._increment(observation.time)
        slot = self._budget.slot(observation.time)
        if scores is None:
            self._regions.wait(increment)
        else:
            test_step = BettingStep(event=self.events, time=observation.time, slot=slot, increment=increment, draw=draw)
            self._regions.update(scores, test_step, alarm=self.alarm)
            self._learn_first(scores, slot)
            self._recover(scores, slot)
        self.events += 1
        self._check_limit(slot)

    def _increment(self, time: float) -> float:
        if not self._budget.days:
            return 1.0
        passed = time - self._last_time if self.events else 0.0
        self._last_time = max(self._last_time, time)
        return min(max(0.0, passed) / DAY_SECONDS, MOST_SPENT * self._budget.limit)

    def _check_limit(self, slot: int) -> None:
        self._highest = max(self._highest, self._regions.statistic)
        if self._recovery is None and self._regions.statistic >= self._budget.limit:
            self._ended = region, change = self._leading()
            self._regions.forget(change.event)
            since, usual = self.events - change.event, self._regions.usual_share(region, slot)
            self._recovery = Recovery(region, Part(change.share_since * since, usual * since, since))
        if self._recovery is None:
            return
        if self._recovery.complete:
            self._ended = self._ended or self._leading()
            self._regions.restart()
            self._recovery = None
        else:
            self._regions.cap(HEADROOM * self._budget.limit, self._groups)

    def _recover(self, scores: NDArray[np.float64], slot: int) -> None:
        if self._recovery is not None:
            region = self._recovery.region
            inside, seen = self._regions.inside(region, scores)
            if seen:
                self._recovery.add(one=inside, usual=self._regions.usual_share(region, slot))

    def _leading(self) -> tuple[int, Change]:
        leading = self._regions.leading()
        name, column, *_ = self.layout[leading]
        if (instead := self._features[name].instead) and column == self.columns[name].stop - 1:
            leading = next((one for one, _ in self._sufficient(name) if self.layout[one][0] == instead), leading)
        return leading, self._regions.change(leading)

    def _learn_first(self, scores: NDArray[np.float64], slot: int) -> None:
        """Add the scores to each incomplete reference; when a reference is complete, set its feature's regions."""
        for name in list(self._waiting):
            values = scores[self.columns[name]].tolist()
            if values[0] == values[0]:  # not NaN
                self._waiting[name].append((slot, values))
                if len(self._waiting[name]) >= self._features[name].warm_up:
                    self._begin(name, self._waiting.pop(name))

    def _begin(self, name: str, first: list[tuple[int, list[float]]]) -> None:
        slots = np.array([slot for slot, _ in first], dtype=np.int64)
        values = np.array([row for _, row in first])
        start = self.columns[name].start
        for region, (feature, column, _, fraction) in enumerate(self.layout):
            if feature == name:
                self._regions.begin(region, values[:, column - start], slots, fraction)

    def close(
        self,
        explain: Callable[[Finding], Finding] = lambda finding: finding,
        large: Callable[[Finding], bool] = lambda _: True,
    ) -> Finding | None:
        """Return the finding of the current bucket, or None while no reference is complete; start the next bucket.

        The finding has the bucket's highest statistic, so it also reports an alarm that starts and ends in the bucket. Such a
        finding has the feature and the change of the start; any other finding is about the leading feature. If the change, with
        the details that ``explain`` adds, is not ``large`` and was not before in this alarm, the region that the alarm waits for and
        the features that reach the limit by themselves are next. If none was large, the finding is no alarm.
        """
        statistic = max(self._highest, self._regions.statistic, self._budget.limit if self.alarm else 0.0)
        ended = None if self.alarm else self._ended
        self._highest, self._ended = 0.0, None
        if not self.ready:
            return None
        finding = explain(self._finding(*(ended or self._present()), statistic))
        if finding.alarm and not self._acceptable(finding, large):
            others = self._sufficient(finding.feature)
            if self._recovery:
                others.insert(0, (self._recovery.region, statistic))
            explained = (explain(self._finding(region, self._change(region), part)) for region, part in others)
            finding = next((other for other in explained if self._acceptable(other, large)), too_small(finding))
        if not self.alarm:
            self._large.clear()
        return finding

    def _acceptable(self, finding: Finding, large: Callable[[Finding], bool]) -> bool:
        if finding.feature not in self._large and large(finding):
            self._large.add(finding.feature)
        return finding.feature in self._large

    def _change(self, region: int) -> Change:
        """Return a region's change; of the region that the alarm waits for, with the share since the start of the alarm."""
        change = self._regions.change(region)
        if self._recovery and self._recovery.region == region:
            change = msgspec.structs.replace(change, share_since=self._recovery.share)
        return change

    def _present(self) -> tuple[int, Change]:
        """Return the leading region and its change; of an alarm below the limit, the region that it waits for."""
        waits = self._recovery if self._regions.statistic < self._budget.limit else None
        region = waits.region if waits else self._leading()[0]
        return region, self._change(region)

    def _sufficient(self, but: str) -> list[tuple[int, float]]:
        """Return the leading region and the statistic of each feature, except ``but``, that reaches the limit by itself."""
        parts = self._regions.parts(self._groups).tolist()
        return [
            (self._regions.leading(self._groups == number), parts[number])
            for number in sorted(range(len(parts)), key=parts.__getitem__, reverse=True)
            if parts[number] >= self._budget.limit and self._names[number] != but
        ]

    def _finding(self, region: int, change: Change, statistic: float) -> Finding:
        feature, column, sign, fraction = self.layout[region]
        limit = float(self._budget.limit)
        return Finding(
            score=statistic / (statistic + limit),
            statistic=statistic,
            limit=limit,
            feature=feature,
            alarm=statistic >= limit,
            details={
                "events": float(self.events),
                "changed_events_ago": float(self.events) - change.event,
                "changed_at": change.time,
                "part": float(column - self.columns[feature].start),
                "direction": sign,
                "share_of_reference": fraction,
                "share_before": change.share_before,
                "share_since": change.share_since,
            },
        )

    def snapshot(self) -> MonitorState:
        """Return an immutable copy of the state; call this method only after `close`."""
        return MonitorState(
            regions=self._regions.snapshot(),
            waiting={name: list(rows) for name, rows in self._waiting.items()},
            conversations=self._conversations.snapshot(),
            events=self.events,
            last_time=self._last_time,
            recovery=msgspec.structs.replace(self._recovery) if self._recovery else None,
            large=sorted(self._large),
        )

    def restore(self, state: msgspec.Struct) -> None:
        """Continue from a snapshot.

        Raises ValueError if the state has other features or another number of regions.
        """
        if not isinstance(state, MonitorState):
            raise ValueError(f"state is a {type(state).__name__}; expected MonitorState, as the method is e-detector")  # noqa: TRY004 - `restoring` maps it
        widths = {name: {len(values) for _, values in rows} for name, rows in state.waiting.items()}
        if any(name not in self._features or widths[name] - {self._features[name].scores} for name in widths):
            raise ValueError(f"state has first values of {sorted(widths)}; expected features {sorted(self._features)}")
        self._regions.restore(state.regions)
        self._conversations.restore(state.conversations)
        self._waiting = {name: list(state.waiting[name]) for name in self._features if name in state.waiting}
        self.events, self._last_time = state.events, state.last_time
        self._recovery = msgspec.structs.replace(state.recovery) if state.recovery else None
        self._large = {*state.large}
        self._highest, self._ended = 0.0, None
