"""Metrics of the watch app's three stages. Labels are bounded: detectors of the registry, states and severities of the contract."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from detectors.registry import STREAM, TEXT
from stream.runbook import SILENCE
from stream.stages.shared.stream_gauges import StreamGauges

__all__ = ["WatchMetrics", "detector_label"]


def detector_label(name: str) -> str:
    """Return `name` where it is the watch's own or a registered detector's, else ``other``: the log must not make labels."""
    return name if name in TEXT or name in STREAM or name == SILENCE else "other"


class WatchMetrics:
    """What the watch, alert and retraining stages count.

    Parameters
    ----------
    registry
        Where the metrics are shown.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.watermark = Gauge(
            "weir_watermark_seconds", "Log time that a signals partition has come to", ["partition"], registry=registry
        )
        self.lag = Gauge(
            "weir_watermark_lag_seconds", "Watermark behind the newest source", ["partition"], registry=registry
        )
        self.open_buckets = Gauge(
            "weir_open_buckets", "Buckets with events, not closed", ["partition"], registry=registry
        )
        self.open_events = Gauge("weir_open_events", "Events in open buckets", ["partition"], registry=registry)
        self.released = Gauge(
            "weir_released_sources", "Silent sources that hold no watermark", ["partition"], registry=registry
        )
        self.late = Counter("weir_late_events", "Events for buckets that were closed, not applied", registry=registry)
        self.repeated = Counter(
            "weir_repeated_events", "Events read again after a restart, for buckets closed before it", registry=registry
        )
        self.relieved = Counter(
            "weir_buckets_closed_early", "Buckets closed before their time to bound memory", registry=registry
        )
        self.resets = Counter(
            "weir_detector_resets", "Detectors whose state was lost and rebuilt", ["detector"], registry=registry
        )
        self.findings = Counter(
            "weir_bucket_findings", "Findings of closed buckets", ["detector", "alarm"], registry=registry
        )
        self.findings_read = Counter(
            "weir_findings_read", "Findings that the alert stage read", ["detector"], registry=registry
        )
        self.alerts = Counter(
            "weir_alert_records", "Alert records published", ["detector", "state", "severity"], registry=registry
        )
        self.retraining = Counter(
            "weir_retraining_decisions", "Retraining decisions published", ["state"], registry=registry
        )
        for state in ("requested", "suppressed"):  # from zero on, so that the first decision is an increase
            self.retraining.labels(state)
        self.streams = StreamGauges(registry)
