"""The retraining stage's table: one value per (tenant, model)."""

import msgspec

from stream.stages.shared.state_codec import decoder, encode

__all__ = ["FiringAlert", "ModelState", "decode", "encode", "order", "remember"]

_VERSION = 1
_REMEMBERED = 64


class FiringAlert(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a firing alert that the gates read; `at` is the event time of its last record.

    `sentinels` states whether the answers to Weir's fixed prompts changed: ``moved`` (yes), ``still`` (no) or "".
    """

    alert_id: str
    detector: str
    side: str
    opened_at: float
    at: float
    revision: int
    windows: int
    events: int
    principals: dict[str, int]
    traceparent: str = ""
    sentinels: str = ""


class ModelState(msgspec.Struct, kw_only=True):
    """The retraining state of one (tenant, model).

    `offsets` is {topic: offset of the newest applied record}; records up to this offset are ignored. `resolved` has the
    ids of the latest resolved alerts, so that a late record opens none of them again; `suppressed` has the ids of the
    latest suppressions. `in_flight` is whether request `in_flight_id` was started and has not ended; its owner has it for
    `epoch` until `lease_until`, or without limit if that is None. `ended` is {id of an ended request: epoch of its end}.
    A request that nobody starts blocks other requests only during its cool-down.
    """

    version: int = _VERSION
    tenant: str
    model: str
    offsets: dict[str, int] = {}
    firing: dict[str, FiringAlert] = {}
    resolved: list[str] = []
    suppressed: list[str] = []
    requested_id: str = ""
    requested_at: float | None = None
    requested_alerts: tuple[str, ...] = ()
    in_flight: bool = False
    in_flight_id: str = ""
    epoch: int = 0
    lease_until: float | None = None
    ended: dict[str, int] = {}

    def occupied(self, at: float) -> bool:
        """Return whether a request is in flight at event time `at`; with an expired lease it is not."""
        return self.in_flight and (self.lease_until is None or at < self.lease_until)


def remember(items: list[str], item: str) -> None:
    """Append `item`, and keep only the last 64 items."""
    items.append(item)
    del items[:-_REMEMBERED]


class _Order(msgspec.Struct, kw_only=True):
    offsets: dict[str, int]


decode = decoder(ModelState)
_order = decoder(_Order)


def order(_key: bytes, value: bytes) -> float:
    """Return the sum of the state's offsets; a state with a larger sum is newer. Raises StateUnreadable."""
    return sum(_order(value).offsets.values())
