"""A model replica's metrics."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.engine.protocol import EngineStats


class EngineCollector(Collector):
    """Exports an engine's requests, slots and token totals; each scrape calls `stats`."""

    def __init__(self, stats: Callable[[], EngineStats], registry: CollectorRegistry) -> None:
        self._stats = stats
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Yield the current numbers."""
        now = self._stats()
        yield GaugeMetricFamily("weir_engine_slots", "Requests that are generated together, at most", now.slots)
        yield GaugeMetricFamily("weir_engine_running", "Requests being generated", now.running)
        yield GaugeMetricFamily("weir_engine_waiting", "Requests waiting for a slot", now.waiting)
        tokens = CounterMetricFamily("weir_engine_tokens", "Tokens read and written", labels=("gen_ai_token_type",))
        tokens.add_metric(("input",), now.prompt_tokens_total)
        tokens.add_metric(("output",), now.completion_tokens_total)
        yield tokens
