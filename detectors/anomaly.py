"""Anomalies of latency, tokens and errors: a feature that leaves its own history, under the same budget as drift."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from detectors.base import Finding, Observation, StreamDetector, seal, unseal
from detectors.errors import StateMismatch
from detectors.monitor import Feature, Monitor, MonitorState
from detectors.numeric import Moments, MomentsState, place
from detectors.sequential import tie_break

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
        self._moments = {name: Moments() for name in TAILS}

    def update_many(self, observations: Sequence[Observation]) -> Finding | None:
        """Take one closed bucket; see `StreamDetector.update_many`."""
        for observation in observations:
            placed: dict[str, tuple[int, float]] = {}
            for name, moments in self._moments.items():
                value = observation.features.get(name)
                where = None if value is None else place(value)
                if value is not None and where is not None:
                    moments.update(value, learn=not self._monitor.alarm)
                    placed[name] = (where, tie_break(self.config.seed, observation.id, name))
            self._monitor.update(placed)
        finding = self._monitor.close()
        if finding is None:
            return None
        return msgspec.structs.replace(finding, details=finding.details | self._moments[finding.feature].details())

    def snapshot(self) -> bytes:
        """Return the state; see `StreamDetector.snapshot`."""
        moments = {name: moments.snapshot() for name, moments in self._moments.items()}
        return seal(self, _State(monitor=self._monitor.snapshot(), moments=moments))

    def restore(self, state: bytes) -> None:
        """Continue from a snapshot; see `StreamDetector.restore`."""
        body = unseal(self, state, _State)
        kept = dict(self.__dict__)
        self._reset()
        try:
            self._monitor.restore(body.monitor)
            for name, moments in self._moments.items():
                moments.restore(body.moments[name])
        except (ValueError, KeyError) as error:
            self.__dict__.update(kept)
            raise StateMismatch(f"a snapshot of anomaly that does not fit together: {error}") from error
