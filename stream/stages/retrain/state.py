"""What the retraining stage keeps: one table value a (tenant, model)."""

import msgspec

from stream.errors import StateUnreadable

__all__ = ["FiringAlert", "ModelState", "decode", "encode", "order", "remember"]

_VERSION = 1
_REMEMBERED = 64


class FiringAlert(msgspec.Struct, frozen=True, kw_only=True):
    """What the gates need of an alert that is firing; `at` is the log time of its last record.

    `sentinels` is the last word that its records had on the fixed prompts: ``moved``, ``still`` or "".
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

    Parameters
    ----------
    offsets
        By topic, the newest record that was applied: what is read again is not applied again.
    firing
        The alerts that are firing, by id.
    resolved
        The latest resolved alerts, so that a repeated record does not wake them.
    suppressed
        The latest (alert set, gates that said no) that were told, as decision ids.
    requested_id, requested_at, requested_alerts
        The last request.
    in_flight
        Whether that request was taken up and has not ended; one that nobody takes up lapses with its cool-down.
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
    """Append `item`, and forget the oldest beyond 64."""
    items.append(item)
    del items[:-_REMEMBERED]


_DECODER = msgspec.msgpack.Decoder(ModelState)


def encode(state: ModelState) -> bytes:
    """Return `state` as msgpack."""
    return msgspec.msgpack.encode(state)


def decode(value: bytes) -> ModelState:
    """Read a model's value; raises StateUnreadable."""
    try:
        state = _DECODER.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateUnreadable(f"retraining state of {len(value)} bytes cannot be read; rebuilt from the log") from error
    if state.version != _VERSION:
        raise StateUnreadable(f"retraining state of version {state.version}, this is {_VERSION}; rebuilt from the log")
    return state


class _Order(msgspec.Struct, kw_only=True):
    offsets: dict[str, int]


_ORDER = msgspec.msgpack.Decoder(_Order)


def order(_key: bytes, value: bytes) -> float:
    """Return how far a model's value has come: the offsets of what changed it, which only grow; raises StateUnreadable."""
    try:
        return sum(_ORDER.decode(value).offsets.values())
    except msgspec.MsgspecError as error:
        raise StateUnreadable(f"retraining state of {len(value)} bytes cannot be read") from error
