"""The gateway's metrics, with names of OpenTelemetry's GenAI conventions in Prometheus form; labels contain no id or text."""

from functools import partial

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream.wire.semconv import DURATION_BUCKETS, TOKEN_BUCKETS

_OPERATION = "gen_ai_operation_name"
_MODEL = "gen_ai_request_model"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Status, duration and token counts of an accepted request.

    `error_type` is "" if the request succeeded. `failed` is whether the server, and not the client, caused a failure.
    """

    operation: str
    model: str
    status: str
    error_type: str
    failed: bool
    seconds: float
    first_token_seconds: float | None
    prompt_tokens: int
    completion_tokens: int


class GatewayMetrics:
    """The metrics of one gateway."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter, histogram = partial(Counter, registry=registry), partial(Histogram, registry=registry)
        labels = (_OPERATION, _MODEL)
        self.requests = counter("weir_http_requests", "Answers by route and HTTP status", ("route", "status"))
        self.in_flight = Gauge("weir_http_requests_in_flight", "Requests being answered", registry=registry)
        self.ends = counter("weir_inference_ends", "Accepted requests by how they ended", ("status",))
        self.failures = counter(
            "weir_inference_failures",
            "Accepted requests that failed with a 5xx error, also after a stream had begun with status 200",
            (_MODEL,),
        )
        self.unloaded = counter(
            "weir_version_not_loaded",
            "Requests that the base version answered because no replica had loaded the version of their route",
            (_MODEL,),
        )
        self.shadows = counter(
            "weir_shadow_requests",
            "Copies of requests, by purpose (challenger, consistency) and outcome",
            ("purpose", "outcome"),
        )
        self.duration = histogram(
            "gen_ai_server_request_duration_seconds",
            "From the request's acceptance to its end",
            (*labels, "error_type"),
            buckets=DURATION_BUCKETS,
        )
        self.first_token = histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From the request's acceptance to the first token",
            labels,
            buckets=DURATION_BUCKETS,
        )
        self.per_token = histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Time per token after the first",
            labels,
            buckets=tuple(bound / 10 for bound in DURATION_BUCKETS),
        )
        self.tokens = histogram(
            "gen_ai_client_token_usage", "Tokens of one request", (*labels, "gen_ai_token_type"), buckets=TOKEN_BUCKETS
        )

    def ended(self, outcome: Outcome) -> None:
        """Record the outcome of an accepted request."""
        labels = (outcome.operation, outcome.model)
        self.ends.labels(outcome.status).inc()
        self.failures.labels(outcome.model).inc(outcome.failed)
        self.duration.labels(*labels, outcome.error_type).observe(outcome.seconds)
        if outcome.prompt_tokens:
            self.tokens.labels(*labels, "input").observe(outcome.prompt_tokens)
        if outcome.completion_tokens:
            self.tokens.labels(*labels, "output").observe(outcome.completion_tokens)
        if outcome.first_token_seconds is None:
            return
        self.first_token.labels(*labels).observe(outcome.first_token_seconds)
        if outcome.completion_tokens > 1:
            rest = outcome.seconds - outcome.first_token_seconds
            self.per_token.labels(*labels).observe(rest / (outcome.completion_tokens - 1))
