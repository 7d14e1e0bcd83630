"""The ledger's metrics. The labels are detectors, topics and reasons, so the number of series is bounded."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge

from stream.ledger.coverage import Coverage
from stream.ledger.queries.reviews import RejectedFeedback

_PAIRS = {
    "owed": "Expected verdicts",
    "settled": "Completed verdicts, errors included",
    "missing": "Missing verdicts",
    "errors": "Verdicts that are errors",
    "pending": "Pending verdicts",
}


class LedgerMetrics:
    """Gauges of coverage and lag, counters of records."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self._ratio = gauge("weir_coverage_ratio", "Completed verdicts divided by expected verdicts", ["detector"])
        self._pairs = {name: gauge(f"weir_coverage_{name}", text, ["detector"]) for name, text in _PAIRS.items()}
        self._requests = gauge(
            "weir_coverage_requests", "Accepted requests in the log, without copies (consistency, shadow)"
        )
        self._ends = gauge("weir_coverage_ends", "Ends of accepted requests in the log, without copies")
        self._gaps = gauge("weir_coverage_gap_records", "Records that gap records count")
        self._skipped = gauge("weir_ledger_skipped_records", "Records that are no event or cannot be stored", ["topic"])
        self._rejected = gauge(
            "weir_ledger_feedback_turned_away",
            "Feedback that names an alert and is not a review: wrong tenant or label",
            ["reason"],
        )
        self.lag = gauge("weir_ledger_lag_records", "Records that the ledger has not read", ["topic"])
        self.verdict_lag = gauge("weir_verdict_lag_seconds", "Event time that verdicts are behind inference")
        self.caught_up = gauge("weir_ledger_caught_up", "Whether the whole log was read: 1 or 0")
        self.read = counter("weir_ledger_records", "Events read")
        self.unstored = counter("weir_ledger_unstored_records", "Events that the ledger cannot store and skips")
        self.expired = counter("weir_ledger_expired_records", "Records that expired before the ledger read them")
        self.rebuilds = counter("weir_ledger_rebuilds", "Rebuilds of the ledger from the log")
        self.alerts = counter("weir_ledger_alerts", "Published records of the ledger's own alerts", ["detector"])

    def show_feedback(self, rejected: RejectedFeedback) -> None:
        """Set the gauges of feedback."""
        self._rejected.labels("tenant").set(rejected.tenant)
        self._rejected.labels("label").set(rejected.label)

    def show(self, coverage: Coverage) -> None:
        """Set the gauges of coverage."""
        for detector, count in [("", coverage.total), *coverage.by_detector.items()]:
            self._ratio.labels(detector or "all").set(count.ratio)
            for name, gauge in self._pairs.items():
                gauge.labels(detector or "all").set(getattr(count, name))
        self._requests.set(coverage.requests)
        self._ends.set(coverage.ends)
        self._gaps.set(coverage.gaps)
        for topic, records in coverage.skipped.items():
            self._skipped.labels(topic).set(records)
