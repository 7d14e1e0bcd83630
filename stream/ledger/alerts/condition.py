"""The condition that opens an alert of the ledger and keeps it firing, and the alert's next revision."""

from collections.abc import Mapping
from typing import Any

import msgspec

from stream.wire import OWN_TENANT, AlertRecord, stream_key
from stream.wire.ids import alert_id

_NAMED = 3


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that exists now. The id of the fault's alert is a hash of `detector` and `opening`.

    `opened_at` is the event time at which the fault began, or None if this time is unknown.
    """

    detector: str
    severity: str
    summary: str
    opening: str
    opened_at: float | None = None
    feature: str = ""
    evidence: tuple[str, ...] = ()
    evidence_total: int = 0
    statistic: float = 0.0
    limit: float = 0.0


def own_alert_id(detector: str, opening: str) -> str:
    """Return the id of an alert about Weir itself: a hash of `detector` and `opening`."""
    return alert_id(stream_key(OWN_TENANT, "", ""), detector, opening)


def revised(alert: AlertRecord, **changes: Any) -> AlertRecord:
    """Return the next revision of `alert`, with `changes`."""
    return msgspec.structs.replace(alert, revision=alert.revision + 1, **changes)


def counted(counts: Mapping[str, int]) -> str:
    """Return ``pii 12, toxicity 3 and 1 more``: the three largest counts, and the number of others."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    words = [f"{name or '(none)'} {number}" for name, number in ordered[:_NAMED]]
    return ", ".join(words) + (f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else "")
