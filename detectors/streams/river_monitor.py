"""Change detectors of the library river (ADWIN, KSWIN, Page-Hinkley) as an alternative to the e-detectors.

These detectors have no alarm budget: the user must tune a threshold to the stream. They signal a change at one event
only, so a bucket has an alarm if the detector of any feature signals a change during the bucket.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from detectors.base import Finding, too_small
from detectors.errors import ConfigError
from detectors.streams.conversations import TURNS, ConversationsState
from detectors.streams.monitor import Budget, Feature, FeatureScores, Inputs, Monitor

E_DETECTOR = "e-detector"

#: After 2 * `KEPT` values, a detector is rebuilt from the last `KEPT` values, which are then enough to restore it.
KEPT = 256


#: Name of a detector → river's default threshold.
METHODS: Mapping[str, float] = {"adwin": 0.002, "kswin": 0.005, "page-hinkley": 50.0}


def make_river(method: str, threshold: float) -> Any:
    """Return a detector of river; the threshold is ADWIN's delta, KSWIN's alpha or Page-Hinkley's threshold.

    Raises ConfigError if delta or alpha, which are probabilities, is more than 1.
    """
    if method != "page-hinkley" and threshold > 1.0:
        raise ConfigError(f"method_threshold is {threshold:g}; with method {method} it must be at most 1")
    from river import drift  # noqa: PLC0415 - imported only if configured

    if method == "adwin":
        return drift.ADWIN(delta=threshold, clock=1)  # type: ignore[no-untyped-call]  # a Cython class
    return drift.KSWIN(alpha=threshold, seed=0) if method == "kswin" else drift.PageHinkley(threshold=threshold)


class RiverState(msgspec.Struct, frozen=True, kw_only=True, tag="river"):
    """A snapshot of a `RiverMonitor`; ``values`` has the recent values from which each detector is rebuilt."""

    values: list[list[float]]
    seen: list[int]
    conversations: ConversationsState
    events: int
    told: int


class RiverMonitor(FeatureScores):
    """One detector of river per score, with the interface of `detectors.streams.monitor.Monitor`.

    ``method`` is a key of `METHODS`. If ``threshold`` is None, river's default applies. ``budget.limit`` is not used.
    """

    def __init__(self, features: Mapping[str, Feature], budget: Budget, method: str, threshold: float | None) -> None:
        super().__init__(features, budget)
        self._make = partial(make_river, method, METHODS[method] if threshold is None else threshold)
        self._names = [name for name, feature in features.items() for _ in range(feature.scores)]
        self._warm_up = [features[name].warm_up for name in self._names]
        self._detectors = [self._make() for _ in self._names]
        self._values: list[list[float]] = [[] for _ in self._names]
        self._seen = [0] * len(self._names)
        #: Number of the last event with a signal of a detector, and the columns with a signal in this bucket.
        self._last_signal = 0
        self._signals: set[int] = set()

    @property
    def ready(self) -> bool:
        """Whether any score has as many values as its reference needs."""
        return any(seen >= warm_up for seen, warm_up in zip(self._seen, self._warm_up, strict=True))

    @property
    def alarm(self) -> bool:
        """Whether a detector has signalled a change in this bucket."""
        return bool(self._signals)

    def renew(self, *names: str) -> None:
        """Reset these features; see `Monitor.renew`."""
        for column in (column for column, name in enumerate(self._names) if name in names):
            self._values[column], self._seen[column] = [], 0
            self._detectors[column] = self._make()

    def update_many(self, inputs: Inputs) -> list[bool]:
        """Process events in order; see `Monitor.update_many`."""
        alarms: list[bool] = []
        for mine, row in zip(inputs.looked, inputs.scores, strict=True):
            alarms.append(self.alarm)
            self.events += 1
            for column, value in enumerate(row.tolist() if mine else []):
                if not math.isnan(value) and self._read(column, value) and self._seen[column] > self._warm_up[column]:
                    self._signals.add(column)
                    self._last_signal = self.events
        return alarms

    def _read(self, column: int, value: float) -> bool:
        values = self._values[column]
        values.append(value)
        self._seen[column] += 1
        if len(values) > 2 * KEPT:
            del values[:-KEPT]
            self._detectors[column] = self._built(values)
            return bool(self._detectors[column].drift_detected)
        self._detectors[column].update(value)
        return bool(self._detectors[column].drift_detected)

    def _built(self, values: list[float]) -> Any:
        made = self._make()
        for value in values:
            made.update(value)
        return made

    def close(
        self,
        explain: Callable[[Finding], Finding] = lambda finding: finding,
        large: Callable[[Finding], bool] = lambda _: True,
    ) -> Finding | None:
        """Return the bucket's finding, see `Monitor.close`; its statistic is the number of features with a signal, and its limit is 1."""
        names = [self._names[column] for column in sorted(self._signals)]
        self._signals.clear()
        if not self.ready:
            return None
        statistic = float(len(set(names)))
        details = {"events": float(self.events), "changed_events_ago": float(self.events - self._last_signal)}
        findings = [
            explain(
                Finding(
                    score=statistic / (statistic + 1.0),
                    statistic=statistic,
                    limit=1.0,
                    feature=name,
                    alarm=statistic >= 1.0,
                    details=details,
                )
            )
            for name in dict.fromkeys(names or self._names[:1])
        ]
        first = findings[0]
        return next((finding for finding in findings if large(finding)), too_small(first)) if first.alarm else first

    def snapshot(self) -> RiverState:
        """Return an immutable copy of the state; call this method only after `close`."""
        return RiverState(
            values=[list(values) for values in self._values],
            seen=list(self._seen),
            conversations=self._conversations.snapshot(),
            events=self.events,
            told=self._last_signal,
        )

    def restore(self, state: msgspec.Struct) -> None:
        """Continue from a snapshot; raise ValueError if the state has another type or another number of scores."""
        if not isinstance(state, RiverState) or {len(state.values), len(state.seen)} != {len(self._names)}:
            raise ValueError(f"state is a {type(state).__name__}; expected RiverState of {len(self._names)} scores")
        self._values = [list(values) for values in state.values]
        self._detectors = [self._built(values) for values in self._values]
        self._seen, self.events, self._last_signal = list(state.seen), state.events, state.told
        self._conversations.restore(state.conversations)
        self._signals.clear()


#: An infinite limit has no form in JSON: nothing could read the findings.
_LARGEST = 1e9


class MonitorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a detector that compares the events of a stream with its first events.

    Attributes
    ----------
    alarm_every_events
        Alarm budget: on average at most one false alarm in this many events.
    alarm_every_days
        Alarm budget in days of event time; if set, it replaces the budget in events.
    reference_events
        Size of the reference, which contains the first embeddings and the first values of each numeric feature; later values are tested.
    daily_cycle
        Whether values are compared only with values of the same half-hour of the day (UTC), so that a daily cycle
        causes no alarm. In a half-hour with few earlier values, a change is detected later.
    conversation_events
        Size, in events, of the window in which the detector uses one event per conversation; with 0 all events are used.
    conversation_turns
        If a conversation has at most this many turns in the window, the detector uses one of its events. A longer
        conversation suppresses at most half of its API key's events in the window.
    method
        ``e-detector``, or a method of the library river, which ignores the alarm budget: ``adwin``, ``kswin`` or
        ``page-hinkley``.
    method_threshold
        ADWIN's delta or KSWIN's alpha (at most 1), or Page-Hinkley's threshold; None selects river's default.
    seed
        Seed of the random order of equal values; the order depends only on this seed and the events' ids.
    """

    alarm_every_events: Annotated[int, Meta(ge=10)] = 10_000
    alarm_every_days: Annotated[float, Meta(gt=0, le=_LARGEST)] | None = None
    reference_events: Annotated[int, Meta(ge=8, le=2_000)] = 200
    daily_cycle: bool = True
    conversation_events: Annotated[int, Meta(ge=0, le=2_000)] = 512
    conversation_turns: Annotated[int, Meta(ge=1, le=2_000)] = TURNS
    method: Literal["e-detector", "adwin", "kswin", "page-hinkley"] = "e-detector"
    method_threshold: Annotated[float, Meta(gt=0, le=_LARGEST)] | None = None
    seed: int = 0

    def monitor(self, features: Mapping[str, Feature]) -> Monitor | RiverMonitor:
        """Return a `Monitor` if the method is ``e-detector``, else a `RiverMonitor`."""
        budget = Budget(
            limit=self.alarm_every_days or self.alarm_every_events,
            days=self.alarm_every_days is not None,
            daily=self.daily_cycle,
            conversation_events=self.conversation_events,
            conversation_turns=self.conversation_turns,
        )
        if self.method == E_DETECTOR:
            return Monitor(features, budget)
        return RiverMonitor(features, budget, self.method, self.method_threshold)
