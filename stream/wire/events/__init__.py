"""The data of every event on Weir's topics.

Changes to the structs are additive: a new field has a default, unknown fields are ignored, and the bytes of every past
version can be decoded (tests/contract/wire). Times are seconds since the epoch, UTC, as float. Only `RequestRecord` and
`ResponseRecord` contain text.
"""

from stream.wire.events.alerts import AlertRecord, Feedback, LogRange, RetrainingRecord, SilenceRecord
from stream.wire.events.base import MAX_COUNT, MAX_INT64, MIN_INT64, EventData
from stream.wire.events.findings import (
    ExplanationRecord,
    FindingRecord,
    SentinelRecord,
    Signal,
    Span,
    Verdict,
    WordWeight,
)
from stream.wire.events.inference import ABORTED, ErrorInfo, Message, RequestRecord, ResponseRecord, Usage
from stream.wire.events.progress import Closed, GapRecord, Tick

__all__ = [
    "ABORTED",
    "ABORTED_TYPE",
    "EVENT_TYPES",
    "MAX_COUNT",
    "MAX_INT64",
    "MIN_INT64",
    "AlertRecord",
    "Closed",
    "ErrorInfo",
    "EventData",
    "ExplanationRecord",
    "Feedback",
    "FindingRecord",
    "GapRecord",
    "LogRange",
    "Message",
    "RequestRecord",
    "ResponseRecord",
    "RetrainingRecord",
    "SentinelRecord",
    "Signal",
    "SilenceRecord",
    "Span",
    "Tick",
    "Usage",
    "Verdict",
    "WordWeight",
]

ABORTED_TYPE = "weir.inference.aborted.v1"

#: CloudEvents type to struct of its data.
EVENT_TYPES: dict[str, type[EventData]] = {
    struct.event_type: struct
    for struct in (
        RequestRecord,
        ResponseRecord,
        GapRecord,
        Tick,
        Closed,
        Verdict,
        Signal,
        FindingRecord,
        AlertRecord,
        SilenceRecord,
        RetrainingRecord,
        Feedback,
        SentinelRecord,
        ExplanationRecord,
    )
}
EVENT_TYPES[ABORTED_TYPE] = ResponseRecord
