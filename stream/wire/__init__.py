"""The event contract: the data of the events on Weir's topics, and their encoding.

Capture, stages, ledger and other consumers use this package, so it imports only the standard library and msgspec.
"""

from stream.wire.codec import Event, Record, decode, encode, event_time, event_type, readable
from stream.wire.errors import DecodeError, SchemaError, WireError
from stream.wire.event_types import ABORTED_TYPE, EVENT_TYPES
from stream.wire.events.alerts import AlertRecord, Feedback, LabelRecord, LogRange, RetrainingRecord, SilenceRecord
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
from stream.wire.events.inference import (
    ABORTED,
    BlobPart,
    Choice,
    CorrectionRecord,
    DeclaredTool,
    ErrorInfo,
    GuardStop,
    LocatedPart,
    Message,
    Part,
    ReasoningPart,
    RequestRecord,
    ResponseRecord,
    TextPart,
    ToolCallPart,
    ToolDefinition,
    ToolResponsePart,
    UriPart,
    Usage,
    text_at,
)
from stream.wire.events.inference_v1 import RequestRecordV1, ResponseRecordV1
from stream.wire.events.models import ModelRecord, RouteRecord
from stream.wire.events.progress import Closed, GapRecord, Tick
from stream.wire.keys import (
    OWN_TENANT,
    conversation_key,
    inference_key,
    partition_for,
    side_and_part,
    stream_key,
    tenant_model_key,
    trained_version,
    version_key,
)
from stream.wire.time_bound import bounded
from stream.wire.times import canonical_time, format_time, parse_time
from stream.wire.topics import Topic, TopicNames
from stream.wire.trace import TraceParent

__all__ = [
    "ABORTED",
    "ABORTED_TYPE",
    "EVENT_TYPES",
    "MAX_COUNT",
    "MAX_INT64",
    "MIN_INT64",
    "OWN_TENANT",
    "AlertRecord",
    "BlobPart",
    "Choice",
    "Closed",
    "CorrectionRecord",
    "DeclaredTool",
    "DecodeError",
    "ErrorInfo",
    "Event",
    "EventData",
    "ExplanationRecord",
    "Feedback",
    "FindingRecord",
    "GapRecord",
    "GuardStop",
    "LabelRecord",
    "LocatedPart",
    "LogRange",
    "Message",
    "ModelRecord",
    "Part",
    "ReasoningPart",
    "Record",
    "RequestRecord",
    "RequestRecordV1",
    "ResponseRecord",
    "ResponseRecordV1",
    "RetrainingRecord",
    "RouteRecord",
    "SchemaError",
    "SentinelRecord",
    "Signal",
    "SilenceRecord",
    "Span",
    "TextPart",
    "Tick",
    "ToolCallPart",
    "ToolDefinition",
    "ToolResponsePart",
    "Topic",
    "TopicNames",
    "TraceParent",
    "UriPart",
    "Usage",
    "Verdict",
    "WireError",
    "WordWeight",
    "bounded",
    "canonical_time",
    "conversation_key",
    "decode",
    "encode",
    "event_time",
    "event_type",
    "format_time",
    "inference_key",
    "parse_time",
    "partition_for",
    "readable",
    "side_and_part",
    "stream_key",
    "tenant_model_key",
    "text_at",
    "trained_version",
    "version_key",
]
