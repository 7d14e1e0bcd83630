"""Metrics of the watch app's three stages. Labels are bounded: registered detectors, states and severities of the contract."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from detectors.registry import DETECTORS
from stream.runbook import SILENCE
from stream.stages.shared.stream_gauges import StreamGauges

__all__ = ["WatchMetrics", "detector_label"]


def detector_label(name: str) -> str:
    """Return `name` if it is registered or watch's own, else ``other``: the log must not create labels."""
    return name if name in DETECTORS or name == SILENCE else "other"


class WatchMetrics:
    """The metrics of the watch, alert and retraining stages.

    Parameters
    ----------
    registry
        The registry of the metrics.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.watermark = Gauge(
            "weir_watermark_seconds", "Watermark of a signals partition (event time)", ["partition"], registry=registry
        )
        self.lag = Gauge(
            "weir_watermark_lag_seconds", "Watermark behind the newest source", ["partition"], registry=registry
        )
        self.open_buckets = Gauge(
            "weir_open_buckets", "Buckets with events, not closed", ["partition"], registry=registry
        )
        self.open_events = Gauge("weir_open_events", "Events in open buckets", ["partition"], registry=registry)
        self.released = Gauge(
            "weir_released_sources",
            "Inactive sources that no longer hold back the watermark",
            ["partition"],
            registry=registry,
        )
        self.late = Counter(
            "weir_late_events", "Late events: their buckets were closed, so they were not applied", registry=registry
        )
        self.repeated = Counter(
            "weir_repeated_events", "Duplicate events after a restart, of buckets closed before it", registry=registry
        )
        self.relieved = Counter("weir_buckets_closed_early", "Buckets closed early to bound memory", registry=registry)
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
        for state in ("requested", "suppressed"):  # from zero on, so the first decision is an increase
            self.retraining.labels(state)
        self.streams = StreamGauges(registry)
