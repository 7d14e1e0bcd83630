"""The event contract: what stands on Weir's topics, and how it is written and read.

Why this exists: capture, agents, ledger and every consumer outside read the same records. The contract stands on the
standard library and msgspec alone, so that anything may import it; importing it never imports Faust.
"""

from stream.wire.codec import Event, Record, decode, encode, event_type
from stream.wire.errors import DecodeError, SchemaError, StreamError, WireError
from stream.wire.events import (
    ABORTED,
    ABORTED_TYPE,
    EVENT_TYPES,
    AlertRecord,
    Closed,
    ErrorInfo,
    EventData,
    ExplanationRecord,
    Feedback,
    FindingRecord,
    GapRecord,
    LogRange,
    Message,
    RequestRecord,
    ResponseRecord,
    RetrainingRecord,
    SentinelRecord,
    Signal,
    SilenceRecord,
    Span,
    Tick,
    Usage,
    Verdict,
    WordWeight,
)
from stream.wire.keys import OWN_TENANT, inference_key, murmur2, partition_for, stream_key, tenant_model_key
from stream.wire.times import canonical_time, format_time, parse_time
from stream.wire.topics import Topic, TopicNames, topic_specs
from stream.wire.trace import TraceParent

__all__ = [
    "ABORTED",
    "ABORTED_TYPE",
    "EVENT_TYPES",
    "OWN_TENANT",
    "AlertRecord",
    "Closed",
    "DecodeError",
    "ErrorInfo",
    "Event",
    "EventData",
    "ExplanationRecord",
    "Feedback",
    "FindingRecord",
    "GapRecord",
    "LogRange",
    "Message",
    "Record",
    "RequestRecord",
    "ResponseRecord",
    "RetrainingRecord",
    "SchemaError",
    "SentinelRecord",
    "Signal",
    "SilenceRecord",
    "Span",
    "StreamError",
    "Tick",
    "Topic",
    "TopicNames",
    "TraceParent",
    "Usage",
    "Verdict",
    "WireError",
    "WordWeight",
    "canonical_time",
    "decode",
    "encode",
    "event_type",
    "format_time",
    "inference_key",
    "murmur2",
    "parse_time",
    "partition_for",
    "stream_key",
    "tenant_model_key",
    "topic_specs",
]
