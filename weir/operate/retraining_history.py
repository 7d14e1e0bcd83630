"""Group suppressed retraining events: one entry per tenant, model and set of failed conditions.

The retraining stage publishes a suppressed event for each new set of alerts, so one cause can have dozens of events.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

import msgspec

from stream.wire import RetrainingRecord

EventT = TypeVar("EventT", bound=RetrainingRecord)


class RetrainingEntry(msgspec.Struct, Generic[EventT], frozen=True, kw_only=True):
    """The newest event of a group, the number of its events, and the time of its first event (seconds since the epoch)."""

    event: EventT
    count: int
    first_at: float


class RetrainingHistory(Generic[EventT]):
    """Groups of retraining events, in the order of their last change; the most recently changed group is last."""

    def __init__(self) -> None:
        self.entries: dict[Hashable, RetrainingEntry[EventT]] = {}

    def add(self, event: EventT) -> Hashable:
        """Add an event to its entry, and return the entry's key."""
        key = _key(event)
        before = self.entries.pop(key, None)
        if before is None:
            self.entries[key] = RetrainingEntry(event=event, count=1, first_at=event.at)
        else:
            newest = event if event.at >= before.event.at else before.event
            first_at = min(before.first_at, event.at)
            self.entries[key] = RetrainingEntry(event=newest, count=before.count + 1, first_at=first_at)
        return key


def _key(event: RetrainingRecord) -> Hashable:
    """Return the key of an event's group.

    The key of a suppressed event contains its failed conditions, not its reason, because the numbers in a reason vary.
    """
    if event.state != "suppressed":
        return event.retraining_id, event.state
    failing = tuple(sorted(name for name, passed in event.gates.items() if not passed))
    return event.tenant, event.model, failing or event.reason
