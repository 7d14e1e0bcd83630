"""The metrics of the models of other servers."""

from prometheus_client import CollectorRegistry, Counter, Gauge

_MODEL = "gen_ai_request_model"


class UpstreamMetrics:
    """The metrics of all upstream models of one gateway."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.circuit_open = Gauge(
            "weir_upstream_circuit_open",
            "Whether requests are rejected because the upstream server failed repeatedly: 1 or 0",
            (_MODEL,),
            registry=registry,
        )
        self.retries = Counter(
            "weir_upstream_retries",
            "Requests that were sent again to the upstream server",
            (_MODEL,),
            registry=registry,
        )
