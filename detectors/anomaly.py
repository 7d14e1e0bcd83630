"""Anomalies of latency, tokens and errors: a feature that leaves its own history, under the same budget as drift."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from detectors.base import Finding, Observation, StreamDetector, restoring, seal, unseal
from detectors.monitor import Feature, Monitor, MonitorState
from detectors.numeric import MomentsState, NumericFeatures

__all__ = ["AnomalyConfig", "AnomalyDetector"]

#: Feature and how many tails are watched: a fast answer or an absent error is no anomaly, an odd length is.
TAILS = {
    "latency_seconds": 1,
    "time_to_first_token_seconds": 1,
    "prompt_tokens": 2,
    "completion_tokens": 2,
    "error": 1,
}


class AnomalyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the anomaly detector.

    Attributes
    ----------
    alarm_every_events
        The budget: events between two false alarms, on average, at least.
    reference_events
        Values of each feature that are only remembered, before the first opinion.
    seed
        Breaks ties between equal ranks, together with the event's id.
    """

    alarm_every_events: Annotated[int, Meta(ge=10)] = 10_000
    reference_events: Annotated[int, Meta(ge=8)] = 200
    seed: int = 0


class _State(msgspec.Struct, frozen=True, kw_only=True):
    monitor: MonitorState
    moments: dict[str, MomentsState]


class AnomalyDetector(StreamDetector[AnomalyConfig]):
    """Each value against the history of its feature, under one alarm budget.

    Notes
    -----
    State: 1,024 counts and a few numbers a feature; an update costs about 40 µs a feature.
    """

    name: ClassVar[str] = "anomaly"
    version: ClassVar[str] = "1"
    config_type: ClassVar[type[msgspec.Struct]] = AnomalyConfig

    def __init__(self, config: AnomalyConfig | None = None) -> None:
        super().__init__(config)
        self._reset()

    def _reset(self) -> None:
        features = {name: Feature(tails=tails, share=1 / len(TAILS)) for name, tails in TAILS.items()}
        self._monitor = Monitor(features, limit=self.config.alarm_every_events, warm_up=self.config.reference_events)
        self._numbers = NumericFeatures(TAILS, seed=self.config.seed)

    def update_many(self, observations: Sequence[Observation]) -> Finding | None:
        """Take one closed bucket; see `StreamDetector.update_many`."""
        for observation in observations:
            self._monitor.update(self._numbers.update(observation, learn=not self._monitor.alarm))
        finding = self._monitor.close()
        return None if finding is None else self._numbers.explain(finding)

    def snapshot(self) -> bytes:
        """Return the state; see `StreamDetector.snapshot`."""
        return seal(self, _State(monitor=self._monitor.snapshot(), moments=self._numbers.snapshot()))

    def restore(self, state: bytes) -> None:
        """Continue from a snapshot; see `StreamDetector.restore`."""
        body = unseal(self, state, _State)
        with restoring(self):
            self._reset()
            self._monitor.restore(body.monitor)
            self._numbers.restore(body.moments)
