"""The retraining stage's table: one value a (tenant, model)."""

import msgspec

from stream.stages.shared.state_codec import decoder, encode

__all__ = ["FiringAlert", "ModelState", "decode", "encode", "order", "remember"]

_VERSION = 1
_REMEMBERED = 64


class FiringAlert(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a firing alert that the gates read; `at` is the event time of its last record.

    `sentinels` is the newest note on the fixed prompts in its records: ``moved``, ``still`` or "".
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

    `offsets` has the newest record that was applied, by topic; duplicates below it are ignored. `resolved` are the
    latest resolved alerts, so that a duplicate record does not add them again; `suppressed` the ids of the latest
    suppressions. `in_flight` is whether the last request was started and has not ended; a request that nobody starts
    expires with its cool-down.
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


def remember(items: list[str], item: str) -> None:
    """Append `item`, and keep the last 64."""
    items.append(item)
    del items[:-_REMEMBERED]


class _Order(msgspec.Struct, kw_only=True):
    offsets: dict[str, int]


decode = decoder(ModelState)
_order = decoder(_Order)


def order(_key: bytes, value: bytes) -> float:
    """Return how far a model's value has read the log: the sum of its offsets, which only grow; raises StateUnreadable."""
    return sum(_order(value).offsets.values())
