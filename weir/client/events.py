"""Alerts and retraining events as the client returns them and ``--json`` prints them."""

import msgspec


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an alert; times are seconds since the epoch, UTC.

    Parameters
    ----------
    state
        ``firing`` or ``resolved``.
    severity
        ``info``, ``warning`` or ``critical``.
    evidence, evidence_total
        Ids of at most 20 requests that are evidence, and the number of all requests that are evidence.
    trace_id
        The trace of the alert's span.
    causation_ids
        Ids of the findings that caused the alert.
    silenced
        Whether a silence (``weir alerts silence``) covered the alert when it changed to this state.
    feature
        Name of the feature, source or detector that the alert is about; "" if there is none.
    features
        The first 20 features of this alert's alarms; empty for an alert about single events.
    runbook
        The operator's first action, in one sentence.
    principals
        Number of findings per API key.
    sentinels
        For a drift alert: ``moved`` if the answers to Weir's fixed prompts changed too, ``still`` if not, "" if unknown.
    statistic, limit
        Test statistic and alarm limit of a windowed alert; 0 for other alerts.
    part
        ``prompt``, ``tool_result`` or ``answer`` if the tenant has ``drift_by_part``; else "".
    model_version
        The version of the model if Weir trained it; else "".
    at
        Event time of the change: when the alert fired, resolved, or (an update, or the end of a silence) changed.
    """

    alert_id: str
    state: str
    detector: str
    severity: str
    tenant: str
    model: str
    side: str
    opened_at: float
    resolved_at: float | None
    summary: str
    evidence: tuple[str, ...]
    evidence_total: int
    trace_id: str
    causation_ids: tuple[str, ...]
    silenced: bool = False
    feature: str = ""
    runbook: str = ""
    principals: dict[str, int] = {}
    statistic: float = 0.0
    limit: float = 0.0
    sentinels: str = ""
    part: str = ""
    model_version: str = ""
    at: float = 0.0
    features: tuple[str, ...] = ()


class DataRange(msgspec.Struct, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}):
    """A range of offsets of each partition of `topic`: `first` is included, `last` is excluded.

    In JSON, `first` is ``from`` and `last` is ``to``.
    """

    topic: str
    first: dict[str, int]
    last: dict[str, int]


class Retraining(msgspec.Struct, frozen=True, kw_only=True):
    """A retraining event.

    Parameters
    ----------
    state
        ``requested``, ``suppressed``, ``approved``, ``rejected``, ``dataset``, ``started``, ``progress``, ``trained``, ``blessed``,
        ``refused``, ``shadow``, ``canary``, ``promoted``, ``rolled_back``, ``failed``, ``expired`` or ``completed``.
    reason
        The detectors whose alerts caused the retraining request; in a suppressed event: the conditions for
        retraining that do not hold.
    alert_ids
        Ids of the alerts that were firing at the decision.
    data
        Kafka offsets of the requests that led to the decision.
    at
        Event time, seconds since the epoch.
    gates
        Maps the name of a condition for retraining to whether the condition holds.
    dataset_digest, model_version
        The dataset and the version of this request, if the request has them.
    numbers
        Measurements behind the state, such as step, steps and loss.
    by
        The person or component that decided.
    """

    retraining_id: str
    state: str
    reason: str
    alert_ids: tuple[str, ...]
    data: DataRange | None
    tenant: str
    model: str
    at: float
    gates: dict[str, bool] = {}
    dataset_digest: str = ""
    model_version: str = ""
    numbers: dict[str, float] = {}
    by: str = ""
