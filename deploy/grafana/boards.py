"""Weir's six dashboards: what each asks of Prometheus. One source: ``python deploy/grafana`` writes the files from this."""

from panels import Json, bars, dashboard, heatmap, query, stat, timeseries, trace_link, variable

__all__ = ["BOARDS"]

_RATE = "$__rate_interval"
_MODEL = 'gen_ai_request_model=~"$model"'
_STREAM = 'tenant=~"$tenant",model=~"$model"'


def _quantiles(metric: str, by: str = "") -> list[Json]:
    return [
        query(
            f"histogram_quantile({share}, sum by (le{by}) (rate({metric}_bucket{{{_MODEL}}}[{_RATE}])))",
            f"p{share:.0%}"[:-1],
        )
        for share in (0.5, 0.95, 0.99)
    ]


_REQUESTS = dashboard(
    "weir-requests",
    "Weir: requests",
    "What the gateways answer: requests, tokens, latency.",
    [
        stat("Requests", "Accepted requests a second.", f"sum(rate(weir_inference_ends_total[{_RATE}]))", unit="reqps"),
        stat("In flight", "Requests being answered.", "sum(weir_http_requests_in_flight)"),
        stat(
            "5xx",
            "Share of answers that are 5xx, over 5 minutes.",
            "weir:http_errors:ratio5m",
            unit="percentunit",
            limit=0.05,
        ),
        stat("Waiting", "Requests waiting for a slot of an engine.", "sum(weir_engine_waiting)", limit=100),
        timeseries(
            "How requests ended",
            "complete, error, cancelled by the client, or aborted by a death.",
            query(f"sum by (status) (rate(weir_inference_ends_total[{_RATE}]))", "{{status}}"),
            unit="reqps",
            stacked=True,
            links=[trace_link("Traces of requests", "weir-gateway", "all")],
        ),
        timeseries(
            "Answers by HTTP status",
            "Of every route; 401 and 404 are clients' mistakes, 503 is ours.",
            query(f"sum by (status) (rate(weir_http_requests_total[{_RATE}]))", "{{status}}"),
            unit="reqps",
        ),
        timeseries(
            "Latency", "From acceptance to the end.", *_quantiles("gen_ai_server_request_duration_seconds"), unit="s"
        ),
        timeseries(
            "Time to first token",
            "From acceptance to the first token; the line is the bound of WeirSlowFirstToken.",
            *_quantiles("gen_ai_server_time_to_first_token_seconds"),
            unit="s",
            limit=10,
        ),
        timeseries(
            "Time per output token",
            "After the first; only answers of two tokens and more.",
            *_quantiles("gen_ai_server_time_per_output_token_seconds"),
            unit="s",
        ),
        timeseries(
            "Tokens",
            "Read (input) and written (output) a second.",
            query(
                f"sum by (gen_ai_token_type) (rate(gen_ai_client_token_usage_sum{{{_MODEL}}}[{_RATE}]))",
                "{{gen_ai_token_type}}",
            ),
            unit="short",
        ),
        timeseries(
            "Engines",
            "Requests being generated and waiting, against the slots there are.",
            query("sum(weir_engine_running)", "running"),
            query("sum(weir_engine_waiting)", "waiting"),
            query("sum(weir_engine_slots)", "slots"),
        ),
    ],
    [variable("model", "label_values(gen_ai_client_token_usage_sum, gen_ai_request_model)")],
)

_DETECTORS = dashboard(
    "weir-detectors",
    "Weir: detectors",
    "What detectors say, how fast, and whether every request has the verdicts it is owed.",
    [
        stat(
            "Coverage",
            "Owed verdicts that are settled, of those owed.",
            'min(weir_coverage_ratio{detector="all"})',
            unit="percentunit",
        ),
        stat("Missing", "Owed verdicts that have not come.", 'max(weir_coverage_missing{detector="all"})', limit=1),
        stat(
            "Verdicts behind",
            "How far verdicts are behind inference.",
            "max(weir_verdict_lag_seconds)",
            unit="s",
            limit=60,
        ),
        stat("Unread", "Records of inference that score has not acknowledged.", "sum(weir_score_lag_records)"),
        timeseries(
            "Verdicts",
            "By detector.",
            query(
                f'sum by (detector) (rate(weir_score_verdicts_total{{detector=~"$detector"}}[{_RATE}]))', "{{detector}}"
            ),
            unit="ops",
        ),
        timeseries(
            "Flagged",
            "Share of verdicts that are flagged; a point leads to the traces of that detector.",
            query(
                f'sum by (detector) (rate(weir_score_verdicts_total{{detector=~"$detector",label="flagged"}}[{_RATE}]))'
                f' / sum by (detector) (rate(weir_score_verdicts_total{{detector=~"$detector"}}[{_RATE}]))',
                "{{detector}}",
            ),
            unit="percentunit",
            links=[trace_link("Traces", "weir-score", "evaluate ${__field.labels.detector}")],
        ),
        heatmap(
            "Scores",
            "Distribution of scores of the chosen detectors; higher is worse.",
            f'sum by (le) (increase(weir_score_value_bucket{{detector=~"$detector",side=~"$side"}}[{_RATE}]))',
        ),
        timeseries(
            "Median and high scores",
            "The 50th and 95th percentile by detector and side: what moves before the flagged share does.",
            *(
                query(
                    f"histogram_quantile({share}, sum by (le, detector, side)"
                    f' (rate(weir_score_value_bucket{{detector=~"$detector",side=~"$side"}}[{_RATE}])))',
                    f"{{{{detector}}}} {{{{side}}}} p{share * 100:.0f}",
                )
                for share in (0.5, 0.95)
            ),
        ),
        timeseries(
            "Time of a detector",
            "95th percentile on the batch of an event.",
            query(
                f'histogram_quantile(0.95, sum by (le, detector) (rate(weir_score_detector_seconds_bucket{{detector=~"$detector"}}[{_RATE}])))',
                "{{detector}}",
            ),
            unit="s",
        ),
        bars(
            "Coverage by detector",
            "Settled of owed.",
            'weir_coverage_ratio{detector!="all"}',
            unit="percentunit",
            legend="{{detector}}",
        ),
        timeseries(
            "Lag",
            "Records not yet read, by topic, and by score.",
            query("weir_ledger_lag_records", "ledger {{topic}}"),
            query("sum(weir_score_lag_records)", "score"),
        ),
        timeseries(
            "Dead letters",
            "Records that could not be read or processed; see weir dlq list.",
            query(
                f"sum by (stage, disposition) (increase(weir_dead_letters_total[{_RATE}]))", "{{stage}} {{disposition}}"
            ),
        ),
    ],
    [
        variable("detector", "label_values(weir_score_verdicts_total, detector)"),
        variable("side", "label_values(weir_score_value_count, side)"),
    ],
)

_DRIFT = dashboard(
    "weir-drift",
    "Weir: drift",
    "Tests over windows: each statistic against its limit, by tenant and model; 1 is the alarm.",
    [
        timeseries(
            f"{name.capitalize()} against its limit",
            "Statistic over limit, as of the newest closed window; logarithmic statistics grow fast past 1.",
            query(
                f'max by (tenant, model, side) (weir_stream_statistic{{detector="{name}",{_STREAM}}}'
                f' / weir_stream_limit{{detector="{name}",{_STREAM}}})',
                "{{tenant}} {{model}} {{side}}",
            ),
            limit=1,
            links=[trace_link("Traces of alarms", "weir-watch", f"evaluate {name}")],
        )
        | {"width": 24}
        for name in ("drift", "anomaly")
    ]
    + [
        bars(
            "Nearest to its limit",
            "The ten streams whose statistic is nearest to, or furthest past, its limit.",
            f"topk(10, weir_stream_statistic{{{_STREAM}}} / weir_stream_limit{{{_STREAM}}})",
            legend="{{detector}} {{tenant}} {{model}} {{side}}",
        ),
        timeseries(
            "Windows closed",
            "Findings of closed windows a minute, those in alarm apart.",
            query(
                f"sum by (detector, alarm) (rate(weir_bucket_findings_total[{_RATE}])) * 60",
                "{{detector}} alarm {{alarm}}",
            ),
        ),
        timeseries(
            "Watermark behind the newest source",
            "By partition of signals: windows close as late.",
            query("weir_watermark_lag_seconds", "{{partition}}"),
            unit="s",
        ),
        timeseries(
            "Late events",
            "Events for windows that were closed, not applied; and windows closed early to bound memory.",
            query(f"sum(increase(weir_late_events_total[{_RATE}]))", "late"),
            query(f"sum(increase(weir_buckets_closed_early_total[{_RATE}]))", "closed early"),
        ),
    ],
    [
        variable("tenant", "label_values(weir_stream_limit, tenant)"),
        variable("model", 'label_values(weir_stream_limit{tenant=~"$tenant"}, model)'),
    ],
)

_ALERTS = dashboard(
    "weir-alerts",
    "Weir: alerts and retraining",
    "What fires, who was told, and what was proposed. A point of the first chart leads to the traces of its alerts.",
    [
        stat(
            "Firing",
            "Alerts that fire by the log, silenced ones too (the bridge tells).",
            "max(weir_bridge_firing_alerts)",
            limit=1,
        ),
        stat(
            "Findings",
            "Findings that the alert stage read, a minute.",
            f"sum(rate(weir_findings_read_total[{_RATE}])) * 60",
        ),
        stat(
            "Targets away",
            "Alertmanagers and webhooks that do not take what they are sent.",
            "count(weir_bridge_target_reachable == 0) or count(weir_bridge_target_reachable) * 0",
            limit=1,
        ),
        stat(
            "Retraining requested",
            "Since watch was started.",
            'sum(weir_retraining_decisions_total{state="requested"})',
        ),
        timeseries(
            "Alert records",
            "Openings, changes and ends, by detector, state and severity.",
            query(
                f"sum by (detector, state, severity) (increase(weir_alert_records_total[{_RATE}]))",
                "{{detector}} {{state}} {{severity}}",
            ),
            links=[trace_link("Traces of these alerts", "weir-watch", "alert ${__field.labels.detector}")],
        ),
        timeseries(
            "Findings",
            "What detectors found, by detector.",
            query(f"sum by (detector) (increase(weir_findings_read_total[{_RATE}]))", "{{detector}}"),
        ),
        timeseries(
            "Told",
            "Requests to Alertmanagers and webhooks, by target and outcome.",
            query(f"sum by (target, outcome) (rate(weir_bridge_posts_total[{_RATE}]))", "{{target}} {{outcome}}"),
            unit="reqps",
        ),
        timeseries(
            "Retraining decisions",
            "requested, or suppressed by a gate.",
            query("sum by (state) (weir_retraining_decisions_total)", "{{state}}"),
        ),
        {
            "type": "alertlist",
            "title": "Firing at Alertmanager",
            "description": "Each with its annotations: summary, runbook and trace.",
            "datasource": {"type": "alertmanager", "uid": "weir-alertmanager"},
            "targets": [],
            "fieldConfig": {"defaults": {}, "overrides": []},
            "options": {
                "viewMode": "list",
                "groupMode": "default",
                "datasource": "Alertmanager",
                "maxItems": 50,
                "sortOrder": 3,
                "stateFilter": {"firing": True, "pending": False, "noData": False, "normal": False, "error": True},
            },
            "width": 24,
        },
    ],
)

_CAPTURE = dashboard(
    "weir-capture",
    "Weir: capture",
    "The ledger of loss: accepted = delivered + spooled + shed, at any instant.",
    [
        stat("Kafka", "Whether Kafka takes records: 1 or 0.", "min(weir_capture_kafka_reachable)"),
        stat("Fullest spool", "Of its bound.", "weir:spool_used:ratio", unit="percentunit", limit=0.8),
        stat(
            "Oldest record",
            "Age of the oldest to be sent.",
            "max(weir_capture_oldest_age_seconds)",
            unit="s",
            limit=300,
        ),
        stat(
            "Shed", "Records counted in gap records: served, and not watched.", "sum(weir_capture_shed_total)", limit=1
        ),
        timeseries(
            "Accepted, delivered, shed",
            "Requests and ends a second.",
            *(
                query(f"sum(rate(weir_capture_{name}_total[{_RATE}]))", name)
                for name in ("accepted", "delivered", "shed")
            ),
            unit="ops",
        ),
        timeseries(
            "Loss ledger",
            "What is accepted and neither delivered nor counted as shed waits in the spool; unaccounted is 0.",
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
            "Bytes on disk, of all and of the fullest, and the bound of one.",
            query("sum(weir_capture_spool_bytes)", "all"),
            query("max(weir_capture_fullest_spool_bytes)", "fullest"),
            query("max(weir_capture_gateway_spool_limit_bytes)", "bound"),
            unit="bytes",
        ),
        timeseries(
            "To write, to send",
            "95th percentile: appending one record, which a request waits for, and its acknowledgement by Kafka.",
            query(
                f"histogram_quantile(0.95, sum by (le) (rate(weir_capture_append_seconds_bucket[{_RATE}])))", "append"
            ),
            query(
                f"histogram_quantile(0.95, sum by (le) (rate(weir_capture_produce_seconds_bucket[{_RATE}])))", "produce"
            ),
            unit="s",
        ),
        timeseries(
            "In the log",
            "By the ledger: requests, ends, and records counted in gap records.",
            query("max(weir_coverage_requests)", "requests"),
            query("max(weir_coverage_ends)", "ends"),
            query("max(weir_coverage_gap_records)", "gaps"),
        ),
        timeseries(
            "Refused, adopted, moved",
            "503 for want of a record; spools ended for a dead gateway; records that could not be sent.",
            query(f"sum(increase(weir_capture_refused_total[{_RATE}]))", "refused"),
            query(f"sum(increase(weir_capture_adopted_spools_total[{_RATE}]))", "adopted"),
            query(f"sum(increase(weir_capture_moved_records_total[{_RATE}]))", "moved"),
        ),
    ],
)

_COST = dashboard(
    "weir-cost",
    "Weir: cost",
    "What generation costs at the prices of deploy/prometheus/rules/recording.yml (set yours there), and what watching it costs.",
    [
        stat(
            "An hour",
            "Tokens of the last 5 minutes at their prices, for an hour.",
            "sum(weir:token_cost:per_hour)",
            unit="currencyUSD",
        ),
        stat(
            "Scoring, an event",
            "Processor seconds of score and its model processes for each event.",
            "weir:score_cpu_seconds:per_event5m",
            unit="s",
        ),
        stat("Tokens a second", "Read and written.", "sum(weir:tokens:rate5m)"),
        stat(
            "Price of a million",
            "Input and output tokens: examples until you set your own.",
            "weir:price:per_million_tokens",
            unit="currencyUSD",
            legend="{{gen_ai_token_type}}",
        ),
        timeseries(
            "Cost of tokens",
            "By model and kind, for an hour.",
            query("weir:token_cost:per_hour", "{{gen_ai_request_model}} {{gen_ai_token_type}}"),
            unit="currencyUSD",
            stacked=True,
        ),
        timeseries(
            "Processor time",
            "Cores in use, by component; score's with its model processes.",
            query(
                f'sum by (component) (rate(process_cpu_seconds_total{{job=~"weir.*",component!="score"}}[{_RATE}]))',
                "{{component}}",
            ),
            query(f"sum(rate(weir_score_cpu_seconds_total[{_RATE}]))", "score"),
            stacked=True,
        ),
        timeseries(
            "Memory",
            "Resident, by component; model processes of score are not in it.",
            query('sum by (component) (process_resident_memory_bytes{job=~"weir.*"})', "{{component}}"),
            unit="bytes",
            stacked=True,
        ),
        timeseries(
            "Events scored",
            "A second.",
            query(f"sum by (kind) (rate(weir_score_events_total[{_RATE}]))", "{{kind}}"),
            unit="ops",
        ),
    ],
)

BOARDS = [_REQUESTS, _DETECTORS, _DRIFT, _ALERTS, _CAPTURE, _COST]
