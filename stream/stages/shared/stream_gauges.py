"""Where the tests of each stream stand: statistic and limit, as of its newest closed bucket. Bounded, whatever tenants there come to be."""

from collections import OrderedDict

from prometheus_client import CollectorRegistry, Gauge

__all__ = ["StreamGauges"]

_LABELS = ("tenant", "model", "side", "detector")


class StreamGauges:
    """Two gauges a (tenant, model, side, detector).

    Parameters
    ----------
    registry
        Where they are shown.
    held
        How many at most; beyond it the one whose bucket closed longest ago is left out.
    """

    def __init__(self, registry: CollectorRegistry, held: int = 1000) -> None:
        self._statistic = Gauge("weir_stream_statistic", "Statistic of a stream's test", _LABELS, registry=registry)
        self._limit = Gauge("weir_stream_limit", "Where its alarm begins", _LABELS, registry=registry)
        self._held = held
        self._known: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def show(self, labels: tuple[str, str, str, str], statistic: float, limit: float) -> None:
        """Set both for `labels`: tenant, model, side, detector."""
        self._statistic.labels(*labels).set(statistic)
        self._limit.labels(*labels).set(limit)
        self._known[labels] = None
        self._known.move_to_end(labels)
        if len(self._known) > self._held:
            oldest, _ = self._known.popitem(last=False)
            self._statistic.remove(*oldest)
            self._limit.remove(*oldest)
