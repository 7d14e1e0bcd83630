"""The ledger's metrics; labels are detectors, topics and stages alone, all of them few."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from stream.ledger.coverage import Coverage
from stream.ledger.queries.reviews import TurnedAway

__all__ = ["LedgerMetrics"]

_PAIRS = ("owed", "settled", "missing", "errors", "pending")


class LedgerMetrics:
    """Gauges of coverage and lag, counters of what was read.

    Parameters
    ----------
    registry
        Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ratio = Gauge(
            "weir_coverage_ratio", "Owed verdicts that are settled, of those owed", ["detector"], registry=registry
        )
        self._pairs = {
            name: Gauge(
                f"weir_coverage_{name}", f"Pairs of event and detector: {name}", ["detector"], registry=registry
            )
            for name in _PAIRS
        }
        self._requests = Gauge("weir_coverage_requests", "Accepted requests in the log", registry=registry)
        self._ends = Gauge("weir_coverage_ends", "Ends of accepted requests in the log", registry=registry)
        self._gaps = Gauge("weir_coverage_gap_records", "Records counted in gap records", registry=registry)
        self._skipped = Gauge(
            "weir_ledger_skipped_records",
            "Records of the log that are no event or cannot be stored",
            ["topic"],
            registry=registry,
        )
        self.unstored = Counter(
            "weir_ledger_unstored_records", "Events that the ledger cannot store and skips", registry=registry
        )
        self._oldest = Gauge(
            "weir_ledger_oldest_pending_seconds", "Log time since the oldest pending event", registry=registry
        )
        self.lag = Gauge("weir_ledger_lag_records", "Records not yet read by the ledger", ["topic"], registry=registry)
        self.verdict_lag = Gauge(
            "weir_verdict_lag_seconds", "How far verdicts are behind inference, by log time", registry=registry
        )
        self.caught_up = Gauge("weir_ledger_caught_up", "1 when all of the log was read", registry=registry)
        self.read = Counter("weir_ledger_records", "Events read", registry=registry)
        self.expired = Counter(
            "weir_ledger_expired_records", "Records that the log dropped before they were read", registry=registry
        )
        self.rebuilds = Counter(
            "weir_ledger_rebuilds", "Times that the ledger was re-read from zero", registry=registry
        )
        self.alerts = Counter("weir_ledger_alerts", "Own alert records published", ["detector"], registry=registry)

        self._turned_away = Gauge(
            "weir_ledger_feedback_turned_away",
            "Feedback that names an alert and is no review of it, by reason: tenant, label",
            ["reason"],
            registry=registry,
        )

    def show_feedback(self, found: TurnedAway) -> None:
        """Set the gauges of feedback."""
        self._turned_away.labels("tenant").set(found.tenant)
        self._turned_away.labels("label").set(found.label)

    def show(self, coverage: Coverage, log_time: float) -> None:
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
        oldest = coverage.oldest_pending_time
        self._oldest.set(max(log_time - oldest, 0.0) if oldest is not None else 0.0)
