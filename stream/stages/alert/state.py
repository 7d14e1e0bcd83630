"""The alert stage's table: one value per stream, with the alerts of all detectors."""

import hashlib

import msgspec

from stream.stages.shared.state_codec import decoder

_VERSION = 1
#: Separates detector and source in the key of a state.
SLOT = "\x1f"
#: Number of finding ids kept to detect duplicates: more than score can have outstanding over all partitions.
HELD = 4096


class Evidence(msgspec.Struct, kw_only=True):
    """The evidence of an alert: references to at most 20 requests and 20 findings, and the counts of at most 256 principals.

    `windows` counts distinct windows with findings; `recent_windows` contains the newest of these windows. `requests`,
    `findings` and `traces` contain the first ten and the latest ten ids; the first finding caused the alert. `details`
    contains the numbers with which the newest alarm describes the change, and `features` the first 20 features of its alarms.
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
    features: list[str] = []
    details: dict[str, float] = {}


class OpenAlert(msgspec.Struct, kw_only=True):
    """An alert that is firing.

    `at` is the event time of the alert's last record. `dirty` is true if findings were added after this record. The
    alert resolves after `resolves_after` seconds of event time without a finding.
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
    """One detector of one stream: consecutive buckets with and without alarm, evidence, and the firing alert.

    `last_events` is the end of the newest bucket with events. `gaps` has the longest gap in seconds between two such buckets, by
    the day on which the gap ended.
    """

    last_bucket_end: float | None = None
    last_events: float | None = None
    gaps: dict[int, float] = {}
    alarms: int = 0
    clears: int = 0
    evidence: Evidence | None = None
    alert: OpenAlert | None = None


class StreamAlerts(msgspec.Struct, kw_only=True):
    """The alerts of one stream: (tenant, model, side), and if set, the part group and the version that Weir trained.

    `offset` is the offset of the newest finding or tick that changed this state; records up to this offset are ignored.
    `held` contains (event time, short id) of findings about single events, to detect duplicates at other offsets. The
    keys of `detectors` are from :func:`slot`.
    """

    version: int = _VERSION
    tenant: str
    model: str
    side: str
    part: str = ""
    model_version: str = ""
    offset: int = -1
    held: list[tuple[float, int]] = []
    detectors: dict[str, DetectorState] = {}


def slot(detector: str, source: str = "") -> str:
    """Return the key of a :class:`DetectorState`: the detector, and on Weir's own stream also the source."""
    return f"{detector}{SLOT}{source}" if source else detector


def short_id(identity: str) -> int:
    """Return 63 bits of a hash of an id, enough to distinguish a few thousand ids."""
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest()) >> 1


decode = decoder(StreamAlerts)
