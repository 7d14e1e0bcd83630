"""Metrics of the watch app's three stages. Label values are registered detectors, states and severities."""

from collections import OrderedDict
from functools import partial
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge

from detectors.registry import ALERTING, DETECTORS, STREAM
from stream.runbook import SILENCE

_LABELS = ("tenant", "model", "side", "detector")


class StreamGauges:
    """Two gauges for each of at most `streams` label sets; above that, the least recently updated set is removed."""

    def __init__(self, registry: CollectorRegistry, streams: int = 1000) -> None:
        self._statistic = Gauge("weir_stream_statistic", "Statistic of a stream's test", _LABELS, registry=registry)
        self._limit = Gauge(
            "weir_stream_limit", "Limit of the statistic: above it is an alarm", _LABELS, registry=registry
        )
        self._bound = streams
        self._known: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def show(self, labels: tuple[str, str, str, str], statistic: float, limit: float) -> None:
        """Set both gauges of `labels`: tenant, model, side, detector."""
        self._statistic.labels(*labels).set(statistic)
        self._limit.labels(*labels).set(limit)
        self._known[labels] = None
        self._known.move_to_end(labels)
        if len(self._known) > self._bound:
            oldest, _ = self._known.popitem(last=False)
            self._statistic.remove(*oldest)
            self._limit.remove(*oldest)

    def clear(self) -> None:
        """Remove all label sets."""
        self._known.clear()
        self._statistic.clear()
        self._limit.clear()


def detector_label(name: str) -> str:
    """Return `name` if it is a known detector, else ``other``: the number of label values is bounded."""
    return name if name in DETECTORS or name == SILENCE else "other"


class WatchMetrics:
    """The metrics of the watch, alert and retraining stages."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        by_partition = ["partition"]
        self.lag = gauge("weir_watermark_lag_seconds", "Watermark behind the newest source", by_partition)
        self.released = gauge(
            "weir_released_sources", "Inactive sources that no longer hold back the watermark", by_partition
        )
        self.late = counter("weir_late_events", "Late events: their buckets were closed, so they were not applied")
        self.relieved = counter("weir_buckets_closed_early", "Buckets closed early or discarded to bound memory")
        self.resets = counter("weir_detector_resets", "Detectors whose state was lost and rebuilt", ["detector"])
        self.findings = counter("weir_bucket_findings", "Findings of closed buckets", ["detector", "alarm"])
        self.findings_read = counter("weir_findings_read", "Findings that the alert stage read", ["detector"])
        self.alerts = counter("weir_alert_records", "Alert records published", ["detector", "state", "severity"])
        self.retraining = counter("weir_retraining_decisions", "Retraining decisions published", ["state"])
        self._start_at_zero()
        self.streams = StreamGauges(registry)

    def forget_partitions(self) -> None:
        """Remove the series of all partitions and of their streams: after a rebalance, another worker can have them."""
        for gauge in (self.lag, self.released):
            gauge.clear()
        self.streams.clear()

    def _start_at_zero(self) -> None:
        """Create the counters of rare events: Prometheus does not see the first increase of a counter that begins at 1."""
        for state in ("requested", "suppressed"):
            self.retraining.labels(state)
        for detector, alarm in product((*STREAM, SILENCE), ("true", "false")):
            self.findings.labels(detector, alarm)
        for detector in (*ALERTING, SILENCE):
            self.findings_read.labels(detector)
            for state, severity in product(("firing", "resolved"), ("warning", "critical")):
                self.alerts.labels(detector, state, severity)
