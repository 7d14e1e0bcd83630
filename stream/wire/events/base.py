"""What every event's data is."""

from typing import ClassVar

import msgspec

__all__ = ["EventData"]


class EventData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every event's data."""

    event_type: ClassVar[str]
