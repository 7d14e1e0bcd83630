"""The alert stage's table: one value a stream, with the alerts of all its detectors."""

import hashlib

import msgspec

from stream.stages.shared.state_codec import decoder, encode

__all__ = [
    "HELD",
    "SLOT",
    "DetectorState",
    "Evidence",
    "OpenAlert",
    "StreamAlerts",
    "decode",
    "encode",
    "order",
    "short_id",
    "slot",
]

_VERSION = 1
#: Between the detector and the source in the key of a state.
SLOT = "\x1f"
#: Finding ids kept against duplicates: more than score may have outstanding over all partitions.
HELD = 4096


class Evidence(msgspec.Struct, kw_only=True):
    """The evidence of an alert, by reference and bounded: at most 20 requests and findings, 32 principals.

    `windows` counts distinct windows with findings, `recent_windows` has the newest of them. `requests`, `findings` and
    `traces` have the first ten and the latest, the cause of the alert first. `details` are the newest alarm's numbers
    about the change.
    """

    window_seconds: float
    windows: int = 0
    recent_windows: list[int] = []
    events: int = 0
    count: int = 0
    requests: list[str] = []
    requests_total: int = 0
    findings: list[str] = []
    traces: list[str] = []
    principals: dict[str, int] = {}
    last_time: float = 0.0
    score: float = 0.0
    statistic: float = 0.0
    limit: float = 0.0
    feature: str = ""
    details: dict[str, float] = {}


class OpenAlert(msgspec.Struct, kw_only=True):
    """An alert that is firing.

    `at` is the event time of its last record; it is `dirty` if no record states its newest findings yet; it resolves after
    `resolves_after` seconds of event time without a finding.
    """

    alert_id: str
    cause: str
    severity: str
    opened_at: float
    at: float
    revision: int = 0
    dirty: bool = False
    traceparent: str = ""
    resolves_after: float


class DetectorState(msgspec.Struct, kw_only=True):
    """One detector of one stream: alarms and clear buckets in a row, the evidence, and the firing alert."""

    last_bucket_end: float | None = None
    alarms: int = 0
    clears: int = 0
    evidence: Evidence | None = None
    alert: OpenAlert | None = None


class StreamAlerts(msgspec.Struct, kw_only=True):
    """The alerts of one (tenant, model, side).

    `offset` is the newest record of the findings partition that changed it; duplicates below it are ignored. `held` has (event time,
    short id) of single-event findings, against duplicates under another offset. `detectors` are by :func:`slot`.
    """

    version: int = _VERSION
    tenant: str
    model: str
    side: str
    offset: int = -1
    watermark: float | None = None
    held: list[tuple[float, int]] = []
    detectors: dict[str, DetectorState] = {}


def slot(detector: str, source: str = "") -> str:
    """Return the key of a :class:`DetectorState`: one a detector, and on Weir's own stream one a source."""
    return f"{detector}{SLOT}{source}" if source else detector


def short_id(identity: str) -> int:
    """Return 63 bits of a hash of an id, enough to distinguish a few thousand."""
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest()) >> 1


class _Order(msgspec.Struct, kw_only=True):
    offset: int


decode = decoder(StreamAlerts)
_order = decoder(_Order)


def order(_key: bytes, value: bytes) -> float:
    """Return how far a stream's value has read the log: the offset of its last change; raises StateUnreadable."""
    return _order(value).offset
