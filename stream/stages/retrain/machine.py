"""The retraining stage without Kafka: it applies alert and retraining records and returns decisions.

This stage only requests retraining. People, the trainer and the delivery do the rest and publish its progress.
"""

import msgspec

from stream.settings import TenantSettings
from stream.stages.retrain.gates import Gate, evaluate
from stream.stages.retrain.records import Decision, decision_of
from stream.stages.retrain.state import FiringAlert, ModelState, remember
from stream.wire import OWN_TENANT, AlertRecord, Event, RetrainingRecord
from stream.wire.ids import retraining_id

__all__ = ["Retraining"]

_ENDED = frozenset({"rejected", "refused", "failed", "expired", "promoted", "rolled_back"})
#: States of a request on which somebody works.
_WORKING = frozenset({"dataset", "started", "progress", "trained", "blessed", "shadow", "canary"})
#: States of the delivery, which ends each request itself and needs no lease.
_DELIVERED = frozenset({"shadow", "canary"})
#: The end of an external trainer's run, which has no lease. Weir's own trainer goes on to the gate and the delivery.
_COMPLETED = "completed"
_REMEMBERED = 64


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
        """Apply a retraining record: a step or the end of a retraining, or, during a rebuild, the request.

        Records of an owner whose lease passed to another (a smaller epoch), and of a request that has ended, are ignored.
        """
        if not _advance(state, topic, offset):
            return
        if record.state == "requested" and (state.requested_at is None or record.at > state.requested_at):
            state.requested_id, state.requested_at = record.retraining_id, record.at
            state.requested_alerts = record.alert_ids
        elif record.state in _ENDED or (record.state == _COMPLETED and state.lease_until is None):
            _end(state, record)
        elif record.state in _WORKING:
            _work(state, record)

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


def _work(state: ModelState, record: RetrainingRecord) -> None:
    """Set the request in flight to that of `record`; without a lease of its own, a record keeps the lease before it."""
    is_same = record.retraining_id == state.in_flight_id
    if is_same and record.epoch and record.epoch < state.epoch:
        return
    if record.retraining_id in state.ended and record.epoch <= state.ended[record.retraining_id]:
        return
    state.in_flight, state.in_flight_id = True, record.retraining_id
    state.epoch = record.epoch or (state.epoch if is_same else 0)
    if record.state in _DELIVERED:
        state.lease_until = None
    elif record.lease_until is not None or not is_same:
        state.lease_until = record.lease_until


def _end(state: ModelState, record: RetrainingRecord) -> None:
    is_same = record.retraining_id == state.in_flight_id
    if is_same and record.epoch and record.epoch < state.epoch:
        return
    state.ended[record.retraining_id] = max(record.epoch, state.epoch if is_same else 0)
    while len(state.ended) > _REMEMBERED:
        del state.ended[next(iter(state.ended))]
    if is_same or not state.in_flight_id:  # "": a state that an earlier version wrote
        state.in_flight, state.in_flight_id, state.epoch, state.lease_until = False, "", 0, None


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
