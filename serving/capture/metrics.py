"""Metrics of capture: of one gateway, of the shipper, and the balance of all spools of the node."""

from bisect import bisect_left
from collections.abc import Iterable
from functools import partial
from itertools import accumulate
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from serving.capture.balance import read_balance
from serving.capture.spool_writer import SpoolWriter

_APPEND_BUCKETS = (25e-6, 50e-6, 1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 0.02, 0.1, 0.5)
_PRODUCE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)


class AppendSeconds(Collector):
    """The histogram of append times. Only one thread observes, so a value needs no lock and less than a tenth of the time of a ``Histogram``."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_APPEND_BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one append."""
        self._counts[bisect_left(_APPEND_BUCKETS, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterable[Metric]:
        """Yield the histogram."""
        bounds = map(floatToGoString, (*_APPEND_BUCKETS, float("inf")))
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        yield HistogramMetricFamily(
            "weir_capture_append_seconds",
            "Time to append one record to the spool",
            buckets=buckets,
            sum_value=self._sum,
        )


class RecorderMetrics:
    """The metrics of one gateway's spool."""

    def __init__(self, registry: CollectorRegistry, limit_bytes: int) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self.append_seconds = AppendSeconds()
        registry.register(self.append_seconds)
        self.refused = counter("weir_capture_refused", "Requests rejected with 503 because they could not be recorded")
        self._open = gauge("weir_capture_open_requests", "Requests without an end")
        self._used = gauge(
            "weir_capture_gateway_spool_bytes",
            "Size of this gateway's spool, with the space reserved for the ends of open requests",
        )
        limit = gauge("weir_capture_gateway_spool_limit_bytes", "Size limit of this gateway's spool")
        limit.set(limit_bytes)

    def observe(self, writer: SpoolWriter) -> None:
        """Export the open requests and the used space of `writer`."""
        self._open.set_function(lambda: writer.open_requests)
        self._used.set_function(lambda: writer.used_bytes)


class ShipperMetrics:
    """The metrics of the shipper."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self.produce_seconds = Histogram(
            "weir_capture_produce_seconds",
            "Time from handing a record to the producer to its acknowledgement by every replica",
            buckets=_PRODUCE_BUCKETS,
            registry=registry,
        )
        self.producers = counter("weir_capture_producers", "Kafka producers that were created")
        self.adopted = counter("weir_capture_adopted_spools", "Spools of dead gateways that were ended")
        self.moved = counter("weir_capture_moved_records", "Records that could not be sent or read")
        self.reachable = gauge("weir_capture_kafka_reachable", "Whether Kafka accepts records: 1 or 0")


class BalanceCollector(Collector):
    """Exports the balance of all spools of the node; each scrape reads it from disk."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def collect(self) -> Iterable[Metric]:
        """Yield the numbers of accepted, delivered, shed (dropped) and spooled records, and the age and size of the spools."""
        balance = read_balance(self._root)
        yield CounterMetricFamily(
            "weir_capture_accepted", "Request and end records of accepted requests", value=balance.accepted
        )
        yield CounterMetricFamily(
            "weir_capture_delivered", "Accepted records that Kafka has acknowledged", value=balance.delivered
        )
        yield CounterMetricFamily(
            "weir_capture_shed", "Accepted records that were lost and that gap records count", value=balance.shed
        )
        yield GaugeMetricFamily(
            "weir_capture_spooled_records", "Accepted records that are not yet sent", value=balance.spooled
        )
        yield GaugeMetricFamily(
            "weir_capture_oldest_age_seconds", "Age of the oldest record not yet sent", value=balance.oldest_age_seconds
        )
        yield GaugeMetricFamily("weir_capture_spool_bytes", "Size of the spools on this node", value=balance.bytes)
        yield GaugeMetricFamily(
            "weir_capture_fullest_spool_bytes", "Size of the largest spool on this node", value=balance.fullest_bytes
        )
