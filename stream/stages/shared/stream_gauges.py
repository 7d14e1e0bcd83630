"""Gauges of each stream's statistic and limit in its newest closed bucket, for a bounded number of streams."""

from collections import OrderedDict

from prometheus_client import CollectorRegistry, Gauge

__all__ = ["StreamGauges"]

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
