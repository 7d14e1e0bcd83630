"""The retraining stage without Kafka: alert records and the fate of requests in, decisions out.

It goes no further than `requested`: a trainer, or a person, takes it from there.
"""

import msgspec

from stream.settings import TenantSettings
from stream.stages.retrain.gates import Gate, evaluate
from stream.stages.retrain.state import FiringAlert, ModelState, remember
from stream.wire import OWN_TENANT, AlertRecord, Event, RetrainingRecord
from stream.wire.ids import retraining_id

__all__ = ["Decision", "Retraining"]

_ENDED = frozenset({"completed", "promoted", "rolled_back", "failed"})


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A retraining decision, less the offsets of its data.

    Parameters
    ----------
    record
        What to publish.
    cause, request_id
        Ids of the alert that tipped it, and of the request that tipped that.
    traceparent, links
        That alert's context, and the others'.
    since, until
        Event times that the evidence lies between; None for a suppression.
    """

    record: RetrainingRecord
    cause: str
    request_id: str
    traceparent: str
    links: tuple[str, ...]
    since: float | None = None
    until: float | None = None


class Retraining:
    """What alert records do to one (tenant, model), under the settings of its tenant.

    Parameters
    ----------
    settings
        The tenant's settings.
    """

    def __init__(self, settings: TenantSettings) -> None:
        self._settings = settings.retraining
        self._margin = settings.bucket_seconds * settings.alerts.open_windows

    def alert(self, state: ModelState, event: Event, topic: str, offset: int) -> Decision | None:
        """Apply an alert record; a record that was applied, or is older than the alert is known, changes nothing.

        Alerts of Weir's own tenant (silence, coverage, lag) are about no model, and never a reason to train one.
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
        return self._decide(state, event)

    def progress(self, state: ModelState, record: RetrainingRecord, topic: str, offset: int) -> None:
        """Apply what became of a request: that it was made (which a rebuilt state learns so), started, or ended."""
        if not _advance(state, topic, offset):
            return
        if record.state == "requested" and (state.requested_at is None or record.at > state.requested_at):
            state.requested_id, state.requested_at = record.retraining_id, record.at
            state.requested_alerts = record.alert_ids
        elif record.state == "started":
            state.in_flight = True
        elif record.state in _ENDED:
            state.in_flight = False

    def _decide(self, state: ModelState, event: Event) -> Decision | None:
        record = event.data
        assert isinstance(record, AlertRecord)
        gates = evaluate(state, record.at, self._settings)
        refused = [gate for gate in gates if not gate.passed]
        if not refused:
            return self._request(state, event, record.at, gates)
        settled = set(state.firing) <= set(state.requested_alerts)
        if settled and {gate.name for gate in refused} & {"cool_down", "in_flight"}:
            return None
        return _suppress(state, event, gates)

    def _request(self, state: ModelState, event: Event, at: float, gates: list[Gate]) -> Decision:
        alerts = sorted(state.firing)
        before = (f"after {state.requested_id}",) if state.requested_id else ()
        identity = retraining_id(state.tenant, state.model, (*alerts, *before), "requested")
        state.requested_id, state.requested_at, state.requested_alerts = identity, at, tuple(alerts)
        since = min(alert.opened_at for alert in state.firing.values()) - self._margin
        decision = _decision(state, event, identity, gates)
        return msgspec.structs.replace(decision, since=since, until=at)


def _advance(state: ModelState, topic: str, offset: int) -> bool:
    if offset <= state.offsets.get(topic, -1):
        return False
    state.offsets[topic] = offset
    return True


def _firing(record: AlertRecord, traceparent: str, known: FiringAlert | None) -> FiringAlert:
    """Return what is kept of an alert's record; where it says nothing of the sentinels (watch was started anew) their last word stands."""
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
    """Say no once for an alert set and the gates that refuse it; the numbers may go on changing."""
    marks = tuple(f"gate {gate.name}" for gate in gates if not gate.passed)
    identity = retraining_id(state.tenant, state.model, (*sorted(state.firing), *marks), "suppressed")
    if identity in state.suppressed:
        return None
    remember(state.suppressed, identity)
    return _decision(state, event, identity, gates)


def _agreement(state: ModelState) -> str:
    alerts = state.firing.values()
    detectors = sorted({alert.detector for alert in alerts})
    events = sum(alert.events for alert in alerts)
    keys = len({name for alert in alerts for name in alert.principals})
    windows = max(alert.windows for alert in alerts)
    return f"{' and '.join(detectors)} agree: {windows} windows, {events} events of {keys} API keys"


def _decision(state: ModelState, event: Event, identity: str, gates: list[Gate]) -> Decision:
    alert = event.data
    assert isinstance(alert, AlertRecord)
    refused = [gate.reason for gate in gates if not gate.passed]
    tipping = event.traceparent
    contexts = (firing.traceparent for firing in state.firing.values())
    decision = RetrainingRecord(
        retraining_id=identity,
        state="suppressed" if refused else "requested",
        reason="; ".join(refused) if refused else _agreement(state),
        tenant=state.tenant,
        model=state.model,
        at=alert.at,
        alert_ids=tuple(sorted(state.firing)),
        gates={gate.name: gate.passed for gate in gates},
    )
    links = tuple(context for context in contexts if context and context != tipping)
    return Decision(
        record=decision,
        cause=alert.alert_id,
        request_id=event.correlationid,
        traceparent=tipping,
        links=links,
    )
