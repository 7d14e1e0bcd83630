"""The base of every event's data, and the ranges of its numbers.

JSON does not limit numbers, but SQLite and OTLP do. A number out of its range is a schema error, so that no consumer
stops at a record that it cannot store. The examples of a text are its values in this version; a consumer must accept others.
"""

from typing import Annotated, ClassVar

import msgspec

from stream.wire.times import LATEST

#: The largest integer that every JSON parser keeps exactly (RFC 8259, section 6).
MAX_COUNT = 2**53 - 1
MIN_INT64, MAX_INT64 = -(2**63), 2**63 - 1

#: A count, an offset or a position.
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
#: An integer that may be negative.
Int64 = Annotated[int, msgspec.Meta(ge=MIN_INT64, le=MAX_INT64)]
#: A share of a whole.
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
#: A duration, or a time since the epoch up to the year 9999, as ``ce_time``.
Seconds = Annotated[float, msgspec.Meta(ge=0, le=LATEST)]
#: Prompts or answers.
Side = Annotated[str, msgspec.Meta(examples=["input", "output"])]
#: The side of a finding or an alert; "" if it is about Weir itself.
AnySide = Annotated[str, msgspec.Meta(examples=["", "input", "output"])]


class EventData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every event's data."""

    event_type: ClassVar[str]
