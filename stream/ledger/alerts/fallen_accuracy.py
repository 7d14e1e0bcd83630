"""The alert about a model whose answers are less often correct than at first (`accuracy`)."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from stream.count_text import count_text
from stream.ledger.accuracy import Accuracy
from stream.ledger.alerts.condition import revised
from stream.runbook import ACCURACY, runbook_line
from stream.score_text import percent_text
from stream.wire import AlertRecord

_UPDATE_SECONDS = 10.0
_RESOLVE_SECONDS = 3600.0
#: Tenant and model.
_Stream = tuple[str, str]


def decide_accuracy(
    firing: Iterable[AlertRecord],
    found: Mapping[_Stream, Accuracy],
    log_time: float,
    next_id: Callable[[str, str], str],
) -> list[AlertRecord]:
    """Return the records to publish: alerts that open, change or resolve.

    `firing` contains the firing accuracy alerts, `next_id(tenant, model)` returns the id of the next alert of a stream.
    If the accuracy has recovered, or the labels of the fall or of the time before have expired, the alert gets a record
    with statistic 0. The alert resolves `_RESOLVE_SECONDS` of event time after this record, because a fall can
    disappear and return while late labels arrive.
    """
    open_alerts = {(alert.tenant, alert.model): alert for alert in firing}
    fallen = {stream: accuracy for stream, accuracy in found.items() if accuracy.fell_at is not None}
    records = []
    for stream, accuracy in sorted(fallen.items()):
        alert = open_alerts.get(stream)
        if alert is None:
            records.append(_opened(stream, accuracy, log_time, next_id(*stream)))
        elif log_time - alert.at >= _UPDATE_SECONDS and (
            _has_recovered(alert) or accuracy.wrong != alert.evidence_total
        ):
            records.append(revised(alert, at=log_time, **_fields(stream, accuracy)))
    for stream, alert in open_alerts.items():
        if stream in fallen:
            continue
        at = max(log_time, alert.at)
        if not _has_recovered(alert):
            records.append(revised(alert, at=at, **_recovered(alert, found.get(stream))))
        elif log_time - alert.at >= _RESOLVE_SECONDS:
            records.append(revised(alert, at=at, state="resolved", resolved_at=at))
    return records


def _has_recovered(alert: AlertRecord) -> bool:
    """Return whether the newest record is that of the recovery; the statistic of a fall is never 0."""
    return alert.statistic == 0.0


def _recovered(alert: AlertRecord, accuracy: Accuracy | None) -> dict[str, Any]:
    if accuracy is None:
        return {
            "statistic": 0.0,
            "summary": f"Accuracy of {alert.model}: the labels of the fall expired. Tenant {alert.tenant}.",
        }
    # A reference with answers after the fall cannot show whether the accuracy is as high as before.
    is_expired = accuracy.reference_until >= alert.opened_at
    what = ": the labels from before the fall expired;" if is_expired else " recovered:"
    summary = f"Accuracy of {alert.model}{what} {percent_text(accuracy.accuracy)} of all {accuracy.answers} labelled answers are correct. Tenant {alert.tenant}."
    return {"statistic": 0.0, "score": accuracy.accuracy, "summary": summary}


def _opened(stream: _Stream, accuracy: Accuracy, log_time: float, identity: str) -> AlertRecord:
    tenant, model = stream
    assert accuracy.fell_at is not None
    return AlertRecord(
        alert_id=identity,
        state="firing",
        detector=ACCURACY,
        severity="warning",
        tenant=tenant,
        model=model,
        side="output",
        opened_at=accuracy.fell_at,
        at=max(log_time, accuracy.fell_at),
        limit=accuracy.limit,
        runbook=runbook_line(ACCURACY),
        **_fields(stream, accuracy),
    )


def _fields(stream: _Stream, accuracy: Accuracy) -> dict[str, Any]:
    assert accuracy.reference is not None
    tenant, model = stream
    return {
        "summary": (
            f"Accuracy of {model} fell: {percent_text(accuracy.accuracy)} of the last {accuracy.since} labelled answers are correct, "
            f"{percent_text(accuracy.reference)} of the first. {count_text(accuracy.wrong, 'wrong answer')}, {count_text(accuracy.keys, 'API key')}. "
            f"Tenant {tenant}."
        ),
        "evidence": accuracy.evidence,
        "evidence_total": accuracy.wrong,
        "events": accuracy.wrong,
        "principals": accuracy.principals,
        "score": accuracy.accuracy,
        "statistic": accuracy.statistic,
    }
