"""Anomaly detector: compares latencies, token counts, errors and slow requests with their own history, by the same test as drift."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from detectors.base import AlertText, Finding, Observation, StreamDetector
from detectors.snapshots import restoring, seal, unseal
from detectors.streams.monitor import Feature, Monitor, MonitorState
from detectors.streams.numeric_features import UNIT, Moments, NumericFeatures
from detectors.streams.river_monitor import MonitorConfig, RiverState

_LATENCIES = frozenset({"latency_seconds", "time_to_first_token_seconds"})
_LATENCY, _ERROR = "latency_seconds", "error"
#: Feature: 1 if the request was slow, else 0; see `AnomalyDetector`.
SLOW_REQUESTS = "slow_requests"
#: The detail of a finding that contains the lowest latency of a slow request, in seconds.
SLOW_SECONDS = "slow_seconds"
_SHARES = frozenset({_ERROR, SLOW_REQUESTS})
#: A slow request takes at least so many times the geometric mean, and is so many standard deviations of the logarithm above its mean.
_SLOW_RATIO, _SLOW_DEVIATIONS = 5.0, 3.0

#: A reference is outdated if fewer than this share of at least so many learned values are in its widest region (30 % of it).
_LEAST_SHARE, _LEARNED = 0.05, 1_000

#: Number of tested tails per feature: 1 for large values; 2 for large and small values, because a short text can be an anomaly too.
TAILS = {
    "latency_seconds": 1,
    "time_to_first_token_seconds": 1,
    "prompt_tokens": 2,
    "completion_tokens": 2,
    "error": 1,
    SLOW_REQUESTS: 1,
}


class AnomalyConfig(MonitorConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the anomaly detector.

    Attributes
    ----------
    min_latency_ratio
        An alarm needs a recent geometric mean of at least this many times the reference's at its start or later. A smaller change can
        be significant, but is too small to act on; its finding has the detail ``too_small``. 1: no minimum.
    min_token_ratio
        An alarm about token counts (in ``tool_mix``: tool calls) needs a mean that rose or fell by at least this factor. 1: no minimum.
    min_error_points
        An alarm about errors or slow requests needs an increase of their share by at least this many percentage points.
    """

    min_latency_ratio: Annotated[float, Meta(ge=1, le=100)] = 1.5
    min_token_ratio: Annotated[float, Meta(ge=1, le=100)] = 1.5
    min_error_points: Annotated[float, Meta(ge=0, le=100)] = 2.0


class _State(msgspec.Struct, frozen=True, kw_only=True):
    monitor: MonitorState | RiverState
    moments: dict[str, Moments]
    first: Moments


class AnomalyDetector(StreamDetector[AnomalyConfig]):
    """Detector that compares each value with the earlier values of its feature, with one alarm budget for all features.

    Notes
    -----
    State: two counts per region and half-hour, and 160 observations. An update takes about 30 µs. Errors have one region, that
    of the failed requests: a share of the reference would mix rare errors with successful requests in random order.

    The mean latency hides a small share of slow requests, so their share is a feature too. A request is slow if it takes at
    least 5 times the geometric mean of the first `reference_events` latencies, and if its logarithm is 3 standard deviations
    above the mean of their logarithms, as .1 % of log-normal latencies.
    """

    name: ClassVar[str] = "anomaly"
    version: ClassVar[str] = "10"
    config_type: ClassVar[type[msgspec.Struct]] = AnomalyConfig
    alert: ClassVar[AlertText] = AlertText(
        subject="anomaly",
        runbook="Check the alert's `feature` and `weir status` for a slow replica, long prompts or failing requests, and "
        "fix the cause.",
    )
    stateless_options: ClassVar[tuple[str, ...]] = ("min_latency_ratio", "min_token_ratio", "min_error_points")
    #: The features that it compares, with the number of tested tails.
    tails: ClassVar[Mapping[str, int]] = TAILS
    #: The shares of the reference in the tested regions of each tail; see `Feature.fractions`.
    fractions: ClassVar[tuple[float, ...]] = (0.03, 0.1, 0.3)

    def __init__(self, config: AnomalyConfig | None = None) -> None:
        super().__init__(config)
        self._reset()

    def _reset(self) -> None:
        config = self.config
        features = {
            name: Feature(
                tails=tails,
                share=1 / len(self.tails),
                warm_up=config.reference_events,
                fractions=self.fractions,
                binary=name in _SHARES,
                instead=_LATENCY if name == SLOW_REQUESTS else "",
            )
            for name, tails in self.tails.items()
        }
        self._monitor = config.monitor(features)
        self._numbers = NumericFeatures(self.tails)
        #: The logarithms of the first latencies.
        self._first = Moments()

    def update_many(self, observations: Sequence[Observation]) -> Finding | None:
        """Process one bucket; see `StreamDetector.update_many`."""
        monitor, numbers = self._monitor, self._numbers
        inputs, values = monitor.read(self._with_slow_requests(observations), numbers, self.config.seed)
        alarms = monitor.update_many(inputs)
        # If the alarm ended in this bucket, the means are those of its start, like the change in the monitor's finding.
        starts = [row for row, (was, on) in enumerate(pairwise([False, *alarms])) if on and not was]
        first = starts[-1] if starts and not monitor.alarm else len(alarms)
        numbers.update({name: column[:first] for name, column in values.items()}, alarms[:first])
        finding = monitor.close(self._explained, self._large)
        numbers.update({name: column[first:] for name, column in values.items()}, alarms[first:])
        self._renew_outdated()
        return finding

    def _with_slow_requests(self, observations: Sequence[Observation]) -> Sequence[Observation]:
        """Add the feature of slow requests to the events after the first `reference_events` latencies."""
        return [self._with_slow_request(one) for one in observations] if SLOW_REQUESTS in self.tails else observations

    def _with_slow_request(self, observation: Observation) -> Observation:
        latency = observation.features.get(_LATENCY, math.nan)
        if not math.isfinite(latency):
            return observation
        if (limit := self._slow_seconds()) is None:
            self._first.update_many([math.log(max(0.0, latency) + UNIT)], [False])
            return observation
        features = observation.features | {SLOW_REQUESTS: float(latency >= limit)}
        return msgspec.structs.replace(observation, features=features)

    def _slow_seconds(self) -> float | None:
        """Return the lowest latency of a slow request, or None before `reference_events` latencies."""
        first = self._first
        if first.count < self.config.reference_events:
            return None
        return math.exp(first.mean + max(math.log(_SLOW_RATIO), _SLOW_DEVIATIONS * first.deviation)) - UNIT

    def _renew_outdated(self) -> None:
        """At the end of a bucket, start a new reference for features with unusual first values, such as those of a cold start.

        Nearly no later value is above thresholds from an incident, so a change up to its size would not be found. The budget
        of false alarms holds: `renew` sets sums to zero, which only lowers the statistic, and uses no earlier value again. It
        depends only on earlier values, and those after it are still exchangeable, so later bets have a mean of one as after a
        first reference. While nothing changes, 30 % of the values are in the region, so there is no renewal.
        """
        if not isinstance(self._monitor, Monitor) or self._monitor.alarm:
            return
        inside, seen = self._monitor.totals()
        few = (seen >= _LEARNED) & (inside < _LEAST_SHARE * seen)
        widest = max(self.fractions)
        regions = zip(self._monitor.layout, few.tolist(), strict=True)
        if names := {name for (name, _, _, fraction), is_few in regions if is_few and fraction == widest}:
            self._monitor.renew(*names)
            self._numbers.moments.update({name: Moments() for name in names})
            self._first = Moments() if _LATENCY in names else self._first

    def _explained(self, finding: Finding) -> Finding:
        finding = self._numbers.explain(finding)
        if finding.feature in _SHARES and "share_since" in finding.details:
            # A moving mean of rare errors is often below the minimum.
            details = finding.details | {"recent_mean": finding.details["share_since"]}
            if finding.feature == SLOW_REQUESTS and (limit := self._slow_seconds()) is not None:
                details[SLOW_SECONDS] = limit
            finding = msgspec.structs.replace(finding, details=details)
        return finding

    def _large(self, finding: Finding) -> bool:
        """Whether the change of the finding's feature reaches the minimum of its settings."""
        config, before, now = self.config, finding.details["reference_mean"], finding.details["recent_mean"]
        if finding.feature in _SHARES:
            return 100.0 * (now - before) >= config.min_error_points
        if finding.feature in _LATENCIES:
            return now >= config.min_latency_ratio * before
        return now >= config.min_token_ratio * before or config.min_token_ratio * now <= before

    def snapshot(self) -> bytes:
        """Return the state; see `StreamDetector.snapshot`."""
        return seal(self, _State(monitor=self._monitor.snapshot(), moments=self._numbers.moments, first=self._first))

    def restore(self, state: bytes) -> None:
        """Continue from a snapshot; see `StreamDetector.restore`."""
        body = unseal(self, state, _State)
        with restoring(self):
            self._reset()
            self._monitor.restore(body.monitor)
            self._numbers.restore(body.moments)
            self._first = body.first
