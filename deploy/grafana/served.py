"""Dashboards of serving: requests, capture and cost."""

from panels import RATE, Json, dashboard, per_label, quantile, query, stat, timeseries, trace_link, variable

_MODEL = '{gen_ai_request_model=~"$model"}'
#: Also counts the requests to models that never returned a token.
_ENDED = "gen_ai_server_request_duration_seconds_count"


def _quantiles(metric: str) -> list[Json]:
    return [quantile(share, metric, where=_MODEL, legend=f"p{share:.0%}"[:-1]) for share in (0.5, 0.95, 0.99)]


REQUESTS = dashboard(
    "weir-requests",
    "Weir: requests",
    "Requests, tokens and latency of the gateways.",
    [
        stat(
            "Requests",
            "Accepted requests that ended, per second.",
            f"sum(rate({_ENDED}{_MODEL}[{RATE}]))",
            unit="reqps",
        ),
        stat("In flight", "Requests in progress.", "sum(weir_http_requests_in_flight)"),
        stat(
            "5xx",
            "Share of 5xx answers over 5 minutes.",
            "weir:http_errors:ratio5m",
            unit="percentunit",
            limit=0.05,
        ),
        stat("Waiting", "Requests that wait for a slot of a model replica.", "sum(weir_engine_waiting)", limit=100),
        timeseries(
            "Requests by outcome",
            "All models: complete, error, cancelled by the client, or aborted because a model replica was lost.",
            per_label("rate", "weir_inference_ends_total", "status"),
            unit="reqps",
            stacked=True,
            links=[trace_link("Traces of requests", "weir-gateway")],
        ),
        timeseries(
            "Failures",
            "Accepted requests without their whole answer, by model and error type; client_disconnected is a cancelled request.",
            per_label("rate", _ENDED, "gen_ai_request_model", "error_type", where=f'{{error_type!="",{_MODEL[1:]}'),
            unit="reqps",
        ),
        timeseries(
            "Answers by HTTP status",
            "All routes; 401 and 404 are client errors, 503 is a server error.",
            per_label("rate", "weir_http_requests_total", "status"),
            unit="reqps",
        ),
        timeseries(
            "Latency",
            "Time from the acceptance of a request to its end.",
            *_quantiles("gen_ai_server_request_duration_seconds"),
            unit="s",
        ),
        timeseries(
            "Time to first token",
            "Time from acceptance to the first token; the line is the limit of the alert WeirSlowFirstToken.",
            *_quantiles("gen_ai_server_time_to_first_token_seconds"),
            unit="s",
            limit=10,
        ),
        timeseries(
            "Time per output token",
            "Time of each token after the first; only answers of two or more tokens.",
            *_quantiles("gen_ai_server_time_per_output_token_seconds"),
            unit="s",
        ),
        timeseries(
            "Tokens",
            "Input and output tokens per second.",
            per_label("rate", "gen_ai_client_token_usage_sum", "gen_ai_token_type", where=_MODEL),
        ),
        timeseries(
            "Tokens per request",
            "95th percentile of the lengths of prompts (input) and answers (output).",
            quantile(0.95, "gen_ai_client_token_usage", "gen_ai_token_type", where=_MODEL),
        ),
        timeseries(
            "Engines",
            "Running and waiting requests of model replicas, and their slots; models of other servers have no replica.",
            *(query(f"sum(weir_engine_{name})", name) for name in ("running", "waiting", "slots")),
        ),
    ],
    [variable("model", f"label_values({_ENDED}, gen_ai_request_model)")],
)

CAPTURE = dashboard(
    "weir-capture",
    "Weir: capture",
    "The balance of capture: accepted = delivered + spooled + shed, at any instant.",
    [
        stat("Kafka", "1 if Kafka accepts records, else 0.", "min(weir_capture_kafka_reachable)", least=1),
        stat(
            "Fullest spool",
            "Size of the largest spool, with the space reserved for the ends of open requests, as a share of its limit.",
            "weir:spool_used:ratio",
            unit="percentunit",
            limit=0.8,
        ),
        stat(
            "Oldest record",
            "Age of the oldest record that is not delivered to Kafka.",
            "max(weir_capture_oldest_age_seconds)",
            unit="s",
            limit=300,
        ),
        stat(
            "Shed",
            "Records counted in gap records: their requests are not monitored.",
            "sum(weir_capture_shed_total)",
            limit=1,
        ),
        timeseries(
            "Accepted, delivered, shed",
            "Request and end records per second.",
            *(
                per_label("rate", f"weir_capture_{name}_total", legend=name)
                for name in ("accepted", "delivered", "shed")
            ),
            unit="ops",
        ),
        timeseries(
            "Balance",
            "Accepted records that are neither delivered nor shed are in the spool; unaccounted must be 0.",
            query("sum(weir_capture_spooled_records)", "spooled"),
            query("sum(weir_capture_shed_total)", "shed"),
            query(
                "sum(weir_capture_accepted_total) - sum(weir_capture_delivered_total) - sum(weir_capture_shed_total)"
                " - sum(weir_capture_spooled_records)",
                "unaccounted",
            ),
        ),
        timeseries(
            "Spools",
            "Size of all spools, size of the largest spool, and size limit of each spool.",
            query("sum(weir_capture_spool_bytes)", "all"),
            query("max(weir_capture_fullest_spool_bytes)", "fullest"),
            query("max(weir_capture_gateway_spool_limit_bytes)", "limit"),
            unit="bytes",
        ),
        timeseries(
            "Append and produce latency",
            "95th percentile of appending one record (on the request path) and of its acknowledgement by Kafka.",
            *(quantile(0.95, f"weir_capture_{name}_seconds", legend=name) for name in ("append", "produce")),
            unit="s",
        ),
        timeseries(
            "Records in Kafka",
            "Requests, end records and records lost in gaps, counted by the ledger; without copies of requests that Weir sent.",
            query("max(weir_coverage_requests)", "requests"),
            query("max(weir_coverage_ends)", "ends"),
            query("max(weir_coverage_gap_records)", "gaps"),
        ),
        timeseries(
            "Rejected, adopted, moved",
            "Requests rejected with 503 because they could not be recorded; spools adopted from dead gateways; records that could not be sent or read.",
            per_label("increase", "weir_capture_refused_total", legend="rejected"),
            per_label("increase", "weir_capture_adopted_spools_total", legend="adopted"),
            per_label("increase", "weir_capture_moved_records_total", legend="moved"),
        ),
    ],
)

COST = dashboard(
    "weir-cost",
    "Weir: cost",
    "Cost of generation at the prices in deploy/prometheus/rules/recording.yml (set yours there), and cost of monitoring.",
    [
        stat(
            "Cost per hour",
            "Tokens of the last 5 minutes at their prices, extrapolated to an hour.",
            "sum(weir:token_cost:per_hour)",
            unit="currencyUSD",
        ),
        stat(
            "Scoring per event",
            "CPU seconds of score and its model processes per event.",
            "weir:score_cpu_seconds:per_event5m",
            unit="s",
        ),
        stat("Tokens per second", "Input and output tokens, over 5 minutes.", "sum(weir:tokens:rate5m)"),
        stat(
            "Price per million tokens",
            "Prices of input and output tokens. The default prices are examples; set your own.",
            "weir:price:per_million_tokens",
            unit="currencyUSD",
            legend="{{gen_ai_token_type}}",
        ),
        timeseries(
            "Cost of tokens",
            "Cost per hour, by model and token type.",
            query("weir:token_cost:per_hour", "{{gen_ai_request_model}} {{gen_ai_token_type}}"),
            unit="currencyUSD",
            stacked=True,
        ),
        timeseries(
            "CPU",
            "Cores in use by component; score includes its model processes.",
            per_label("rate", "process_cpu_seconds_total", "component", where='{job=~"weir.*",component!="score"}'),
            per_label("rate", "weir_score_cpu_seconds_total", legend="score"),
            stacked=True,
        ),
        timeseries(
            "Memory",
            "Resident memory by component, without the model processes of score.",
            query('sum by (component) (process_resident_memory_bytes{job=~"weir.*"})', "{{component}}"),
            unit="bytes",
            stacked=True,
        ),
        timeseries(
            "Events scored",
            "Events scored per second, by kind.",
            per_label("rate", "weir_score_events_total", "kind"),
            unit="ops",
        ),
    ],
)
