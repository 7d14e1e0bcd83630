"""The metrics of the models of other servers."""

from prometheus_client import CollectorRegistry, Counter, Gauge

_MODEL = "gen_ai_request_model"


class UpstreamMetrics:
    """The metrics of all upstream models of one gateway."""

    def __init__(self, registry: CollectorRegistry) -> None:
        open_text = "Whether requests are rejected because the upstream server failed repeatedly: 1 or 0"
        self.circuit_open = Gauge("weir_upstream_circuit_open", open_text, (_MODEL,), registry=registry)
        retries_text = "Requests that were sent again to the upstream server"
        self.retries = Counter("weir_upstream_retries", retries_text, (_MODEL,), registry=registry)
