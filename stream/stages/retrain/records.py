"""Builds the records of retraining: a request with the offsets of its data, or a suppression with the failed gates."""

import hashlib
from importlib.metadata import version
from typing import Any

import msgspec

from stream.count_text import count_text
from stream.settings import TenantSettings
from stream.stages.retrain.gates import Gate, key_count
from stream.stages.retrain.state import ModelState
from stream.wire import AlertRecord, Event, RetrainingRecord, tenant_model_key

RETRAIN_SOURCE = "weir/retrain"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A retraining decision, without the offsets of its data.

    `cause` is the id of the alert that caused the decision. `request_id` is the first request in the evidence of this
    alert, and `traceparent` is the trace context of this alert. `links` are the trace contexts of the other firing
    alerts. A request names the data from event time `since` to `until`; both are None for a suppression.
    """

    record: RetrainingRecord
    cause: str
    request_id: str
    traceparent: str
    links: tuple[str, ...]
    since: float | None = None
    until: float | None = None


def decision_of(state: ModelState, event: Event, identity: str, gates: list[Gate]) -> Decision:
    """Return the decision that the alert of `event` caused: a request if every gate passed, else a suppression."""
    alert = event.data
    assert isinstance(alert, AlertRecord)
    failed = [gate.reason for gate in gates if not gate.passed]
    contexts = [firing.traceparent for firing in state.alerts.firing.values()]
    return Decision(
        record=RetrainingRecord(
            retraining_id=identity,
            state="suppressed" if failed else "requested",
            reason="; ".join(failed) or _agreement(state),
            tenant=state.tenant,
            model=state.model,
            at=alert.at,
            alert_ids=tuple(sorted(state.alerts.firing)),
            detectors=() if failed else tuple(sorted({alert.detector for alert in state.alerts.firing.values()})),
            gates={gate.name: gate.passed for gate in gates},
        ),
        cause=alert.alert_id,
        request_id=event.correlationid,
        traceparent=event.traceparent,
        links=tuple(context for context in contexts if context and context != event.traceparent),
    )


def _agreement(state: ModelState) -> str:
    alerts = state.alerts.firing.values()
    detectors = " and ".join(sorted({alert.detector for alert in alerts}))
    windows, events = max(alert.windows for alert in alerts), sum(alert.events for alert in alerts)
    keys, least = key_count(alerts)
    counts = (count_text(windows, "window"), count_text(events, "event"), f"{least}{count_text(keys, 'API key')}")
    return f"{detectors} agree: {', '.join(counts)}"


def pinned_versions(settings: TenantSettings) -> dict[str, str]:
    """Return {name: version} of Weir's code, and the SHA-256 of the tenant's settings as canonical JSON."""
    encoded = msgspec.json.encode(settings.model_dump(mode="json"), order="deterministic")
    return {"weir": version("weir-llm"), "settings": hashlib.sha256(encoded).hexdigest()}


def retraining_event(record: RetrainingRecord, *, source: str, name: str = "", **attributes: Any) -> Event:
    """Return the event of a state of a request; its id is that of the request, with ``/name`` if `name` is given.

    `attributes` are further attributes of the event: the ids of its cause and its request, and its trace context.
    """
    return Event(
        id=f"{record.retraining_id}/{name}" if name else record.retraining_id,
        source=source,
        type=RetrainingRecord.event_type,
        time=record.at,
        data=record,
        subject=record.retraining_id,
        partitionkey=tenant_model_key(record.tenant, record.model),
        **attributes,
    )
