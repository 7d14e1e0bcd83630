"""The retraining stage without Kafka: it applies alert and retraining records and returns decisions.

Weir itself only requests retraining; a trainer or a person does the rest and publishes its progress.
"""

import msgspec

from stream.settings import TenantSettings
from stream.stages.retrain.gates import Gate, evaluate
from stream.stages.retrain.records import Decision, decision_of
from stream.stages.retrain.state import FiringAlert, ModelState, remember
from stream.wire import OWN_TENANT, AlertRecord, Event, RetrainingRecord
from stream.wire.ids import retraining_id

__all__ = ["Retraining"]

#: A trained version in shadow or in a canary still counts as in flight. `completed` is the end for an external trainer.
_IN_FLIGHT = frozenset({"dataset", "started", "progress", "trained", "blessed", "shadow", "canary"})
_ENDED = frozenset({"completed", "promoted", "rolled_back", "failed", "refused", "rejected", "expired"})


class Retraining:
    """Changes the state of one (tenant, model) under the settings of its tenant."""

    def __init__(self, settings: TenantSettings) -> None:
        self._settings = settings.retraining
        self._margin = settings.bucket_seconds * settings.alerts.open_windows

    def alert(self, state: ModelState, event: Event, topic: str, offset: int) -> Decision | None:
        """Apply an alert record; ignore a duplicate or an older revision.

        Alerts of Weir's own tenant never cause retraining, because they are about no user's model.
        """
        record = event.data
        assert isinstance(record, AlertRecord)
        if record.tenant == OWN_TENANT:
            return None
        if not _advance(state, topic, offset) or record.alert_id in state.resolved:
            return None
        known = state.firing.get(record.alert_id)
        if known is not None and record.revision <= known.revision:
            return None
        if record.state != "firing":
            state.firing.pop(record.alert_id, None)
            remember(state.resolved, record.alert_id)
            return None
        state.firing[record.alert_id] = _firing(record, event.traceparent, known)
        return self._decide(state, event, record.at)

    def progress(self, state: ModelState, record: RetrainingRecord, topic: str, offset: int) -> None:
        """Apply a retraining record: the start or end of a retraining, or, during a rebuild, the request."""
        if not _advance(state, topic, offset):
            return
        if record.state == "requested" and (state.requested_at is None or record.at > state.requested_at):
            state.requested_id, state.requested_at = record.retraining_id, record.at
            state.requested_alerts = record.alert_ids
        elif record.state in _IN_FLIGHT:
            state.in_flight, state.lease_until = True, record.lease_until
        elif record.state in _ENDED:
            state.in_flight, state.lease_until = False, None

    def _decide(self, state: ModelState, event: Event, at: float) -> Decision | None:
        gates = evaluate(state, at, self._settings)
        failed = {gate.name for gate in gates if not gate.passed}
        if not failed:
            return self._request(state, event, at, gates)
        was_requested = set(state.firing) <= set(state.requested_alerts)
        if was_requested and failed & {"cool_down", "in_flight"}:
            return None
        return _suppress(state, event, gates)

    def _request(self, state: ModelState, event: Event, at: float, gates: list[Gate]) -> Decision:
        alerts = sorted(state.firing)
        before = (f"after {state.requested_id}",) if state.requested_id else ()
        identity = retraining_id(state.tenant, state.model, (*alerts, *before), "requested")
        state.requested_id, state.requested_at, state.requested_alerts = identity, at, tuple(alerts)
        since = min(alert.opened_at for alert in state.firing.values()) - self._margin
        return msgspec.structs.replace(decision_of(state, event, identity, gates), since=since, until=at)


def _advance(state: ModelState, topic: str, offset: int) -> bool:
    if offset <= state.offsets.get(topic, -1):
        return False
    state.offsets[topic] = offset
    return True


def _firing(record: AlertRecord, traceparent: str, known: FiringAlert | None) -> FiringAlert:
    """Return the part of `record` that the gates read; if `record.sentinels` is empty, use `known.sentinels`."""
    return FiringAlert(
        alert_id=record.alert_id,
        detector=record.detector,
        side=record.side,
        opened_at=record.opened_at,
        at=record.at,
        revision=record.revision,
        windows=record.windows,
        events=record.events,
        principals=record.principals,
        traceparent=traceparent,
        sentinels=record.sentinels or (known.sentinels if known else ""),
    )


def _suppress(state: ModelState, event: Event, gates: list[Gate]) -> Decision | None:
    """Return a suppression, or None if the same alerts and failed gates have already caused a suppression.

    The numbers of the alerts are not compared.
    """
    marks = tuple(f"gate {gate.name}" for gate in gates if not gate.passed)
    identity = retraining_id(state.tenant, state.model, (*sorted(state.firing), *marks), "suppressed")
    if identity in state.suppressed:
        return None
    remember(state.suppressed, identity)
    return decision_of(state, event, identity, gates)
