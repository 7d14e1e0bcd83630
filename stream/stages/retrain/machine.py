"""The retraining stage without Kafka: it applies alert and retraining records and returns decisions.

This stage only requests retraining. People, the trainer and the delivery do the rest and publish its progress.
"""

import msgspec

from stream.remember import append, remember
from stream.settings import TenantSettings
from stream.stages.retrain.gates import Gate, evaluate
from stream.stages.retrain.records import Decision, decision_of
from stream.stages.retrain.state import AlertsHalf, FiringAlert, LastRequest, ModelState, RequestsHalf
from stream.wire import OWN_TENANT, AlertRecord, Event, RetrainingRecord
from stream.wire.ids import retraining_id

_ENDED = frozenset({"rejected", "refused", "failed", "expired", "promoted", "rolled_back"})
#: States of a request that a trainer or delivery works on. ``blessed`` is none of them, because delivery can be off; until delivery
#: starts, the trainer's lease counts.
_WORKING = frozenset({"dataset", "started", "progress", "trained", "shadow", "canary"})
#: States of the delivery, which ends each of its requests itself and needs no lease.
_DELIVERED = frozenset({"shadow", "canary"})
#: The end of an external trainer's run, which has no lease. Weir's own trainer goes on to the gate and the delivery.
_COMPLETED = "completed"
_REMEMBERED = 64


class Retraining:
    """Changes the state of one (tenant, model) under the settings of its tenant."""

    def __init__(self, settings: TenantSettings) -> None:
        self._settings = settings.retraining
        self._margin = settings.bucket_seconds * settings.alerts.open_windows

    def alert(self, state: ModelState, event: Event, offset: int) -> Decision | None:
        """Apply an alert record; ignore a duplicate or an older revision.

        Alerts of Weir's own tenant never cause retraining, because they are about no user's model.
        """
        record = event.data
        assert isinstance(record, AlertRecord)
        if record.tenant == OWN_TENANT or not observe(state.alerts, event, offset):
            return None
        return self._decide(state, event, record.at)

    def progress(self, requests: RequestsHalf, record: RetrainingRecord, offset: int) -> None:
        """Apply a retraining record: a request, or a step or the end of its retraining.

        Records of an owner whose lease passed to another (a smaller epoch), and of a request that has ended, are ignored.
        """
        if offset <= requests.offset:
            return
        requests.offset = offset
        if record.state == "requested":
            if requests.requested is None or record.at > requests.requested.at:
                requests.requested = LastRequest(
                    retraining_id=record.retraining_id, at=record.at, alert_ids=record.alert_ids
                )
        elif record.state in _ENDED or (record.state == _COMPLETED and requests.lease_until is None):
            _end(requests, record)
        elif record.state in _WORKING:
            _work(requests, record)

    def _decide(self, state: ModelState, event: Event, at: float) -> Decision | None:
        gates = evaluate(state, at, self._settings)
        failed = {gate.name for gate in gates if not gate.passed}
        if not failed:
            return self._request(state, event, at, gates)
        was_requested = state.requested is not None and set(state.alerts.firing) <= set(state.requested.alert_ids)
        if was_requested and failed & {"cool_down", "in_flight"}:
            return None
        return _suppress(state, event, gates)

    def _request(self, state: ModelState, event: Event, at: float, gates: list[Gate]) -> Decision:
        alerts = tuple(sorted(state.alerts.firing))
        before = (f"after {state.requested.retraining_id}",) if state.requested else ()
        identity = retraining_id(state.tenant, state.model, (*alerts, *before), "requested")
        state.alerts.requested = LastRequest(retraining_id=identity, at=at, alert_ids=alerts)
        since = min(alert.opened_at for alert in state.alerts.firing.values()) - self._margin
        return msgspec.structs.replace(decision_of(state, event, identity, gates), since=since, until=at)


def observe(alerts: AlertsHalf, event: Event, offset: int) -> bool:
    """Apply an alert record without a decision; return whether it is a firing alert's newest revision.

    A duplicate or an older revision has no effect.
    """
    record = event.data
    assert isinstance(record, AlertRecord)
    if offset <= alerts.offset:
        return False
    alerts.offset = offset
    known = alerts.firing.get(record.alert_id)
    if record.alert_id in alerts.resolved or (known is not None and record.revision <= known.revision):
        return False
    if record.state != "firing":
        alerts.firing.pop(record.alert_id, None)
        append(alerts.resolved, record.alert_id, _REMEMBERED)
        return False
    alerts.firing[record.alert_id] = _firing(record, event.traceparent, known)
    return True


def _work(state: RequestsHalf, record: RetrainingRecord) -> None:
    """Store the request of `record` as the one in delivery or in flight.

    A record without a lease, or of an earlier owner, does not change the known lease of its request.
    """
    if record.state in _DELIVERED:
        state.delivered_id = record.retraining_id
        return
    is_same = record.retraining_id == state.in_flight_id
    if is_same and record.epoch < state.epoch:
        return
    if not is_same and record.epoch <= state.ended.get(record.retraining_id, -1):  # else it was resumed after its end
        return
    state.in_flight_id = record.retraining_id
    state.epoch = record.epoch
    if record.lease_until is not None or not is_same:
        state.lease_until = record.lease_until


def _end(state: RequestsHalf, record: RetrainingRecord) -> None:
    is_same = record.retraining_id == state.in_flight_id
    if is_same and record.epoch and record.epoch < state.epoch:
        return
    remember(state.ended, record.retraining_id, max(record.epoch, state.epoch if is_same else 0), _REMEMBERED)
    if is_same:
        state.in_flight_id, state.epoch, state.lease_until = "", 0, None
    if record.retraining_id == state.delivered_id:
        state.delivered_id = ""


def _firing(record: AlertRecord, traceparent: str, known: FiringAlert | None) -> FiringAlert:
    """Return the part of `record` that the gates read; if `record.sentinels` is empty, use `known.sentinels`."""
    return FiringAlert(
        detector=record.detector,
        opened_at=record.opened_at,
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
    identity = retraining_id(state.tenant, state.model, (*sorted(state.alerts.firing), *marks), "suppressed")
    if identity in state.alerts.suppressed:
        return None
    append(state.alerts.suppressed, identity, _REMEMBERED)
    return decision_of(state, event, identity, gates)
