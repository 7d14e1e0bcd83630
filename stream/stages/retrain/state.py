"""The retraining stage's table: two values per (tenant, model), one for each topic that the stage reads."""

from collections.abc import Callable

import msgspec

from stream.stages.shared.state_codec import decoder

_VERSION = 2
_SEPARATOR = "\x1f"


class FiringAlert(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a firing alert that the gates read.

    `sentinels` states whether the answers to Weir's fixed prompts changed: ``moved`` (yes), ``still`` (no) or "".
    """

    detector: str
    opened_at: float
    revision: int
    windows: int
    events: int
    principals: dict[str, int]
    traceparent: str = ""
    sentinels: str = ""


class LastRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for retraining: its id, its event time and its alerts."""

    retraining_id: str
    at: float
    alert_ids: tuple[str, ...] = ()


class AlertsHalf(msgspec.Struct, kw_only=True, tag="alerts"):
    """The state from the alerts up to `offset`; `requested` is the last request that they caused.

    `resolved` has the ids of the latest resolved alerts, so that a late record does not open a resolved alert again;
    `suppressed` has the ids of the latest suppressions.
    """

    version: int = _VERSION
    offset: int = -1
    firing: dict[str, FiringAlert] = {}
    resolved: list[str] = []
    suppressed: list[str] = []
    requested: LastRequest | None = None


class RequestsHalf(msgspec.Struct, kw_only=True, tag="retraining"):
    """The state from the retraining records up to `offset`; `requested` is the last request among them.

    `in_flight_id` is the request that was started and has not ended, or ""; its owner has it for `epoch` until
    `lease_until` (event time), or without limit if `lease_until` is None. `delivered_id` is the request in shadow or
    canary, which can be another one. `ended` is {id of an ended request: epoch of its end}. A request that nobody starts
    blocks other requests only during its cool-down.
    """

    version: int = _VERSION
    offset: int = -1
    requested: LastRequest | None = None
    in_flight_id: str = ""
    epoch: int = 0
    lease_until: float | None = None
    ended: dict[str, int] = {}
    delivered_id: str = ""

    def in_progress(self, at: float) -> str:
        """Return the id of a request in delivery or in flight at event time `at`, or ""; with an expired lease, it is not in flight."""
        if self.delivered_id:
            return self.delivered_id
        return self.in_flight_id if self.lease_until is None or at < self.lease_until else ""


class ModelState(msgspec.Struct, kw_only=True):
    """The retraining state of one (tenant, model), in two table values.

    Each half is a function of one topic. So of two values of a half, the value with the larger offset includes the
    other value. One value for both topics would have no such order, because each of two writers can be ahead in one
    topic.
    """

    tenant: str
    model: str
    alerts: AlertsHalf = msgspec.field(default_factory=AlertsHalf)
    requests: RequestsHalf = msgspec.field(default_factory=RequestsHalf)

    @property
    def requested(self) -> LastRequest | None:
        """The last request; the retraining records do not contain a request that was just published."""
        return max(filter(None, (self.alerts.requested, self.requests.requested)), key=lambda one: one.at, default=None)


Half = AlertsHalf | RequestsHalf


def half_key(key: str, half: Half) -> str:
    """Return the table key of `half` of the state of model `key`."""
    return f"{key}{_SEPARATOR}{half.__struct_config__.tag}"


def model_key(key: str) -> str:
    """Return the model's key (`stream.wire.tenant_model_key`) for the table key of a half."""
    return _SEPARATOR.join(key.split(_SEPARATOR)[:2])


decode: Callable[[bytes], Half] = decoder(AlertsHalf, RequestsHalf)
