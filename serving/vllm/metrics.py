"""vLLM's own metrics, beside Weir's."""

from collections.abc import Iterable

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_PREFIX = "vllm:"


class VllmCollector(Collector):
    """Exports the metrics that vLLM writes into the registry of its process (`vllm:…`) through `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Yield nothing: the names are known only after the start of vLLM."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield vLLM's metrics."""
        return (metric for metric in REGISTRY.collect() if metric.name.startswith(_PREFIX))


def token_totals() -> tuple[int, int]:
    """Return the prompt tokens and the generated tokens since the start."""
    totals = {"vllm:prompt_tokens_total": 0.0, "vllm:generation_tokens_total": 0.0}
    for metric in REGISTRY.collect():
        for sample in metric.samples:
            if sample.name in totals:
                totals[sample.name] += sample.value
    read, written = totals.values()
    return int(read), int(written)
