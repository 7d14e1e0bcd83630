"""Dashboards of the stream: verdicts, drift statistics, alerts and notifications."""

from panels import RATE, bars, dashboard, heatmap, per_label, quantile, query, stat, timeseries, trace_link, variable

_DETECTOR = '{detector=~"$detector"}'
_STREAM = 'tenant=~"$tenant",model=~"$model"'

DETECTORS = dashboard(
    "weir-detectors",
    "Weir: detectors",
    "Verdicts, their latency, and detector coverage.",
    [
        stat(
            "Coverage",
            "Completed verdicts as a share of the expected verdicts.",
            'min(weir_coverage_ratio{detector="all"})',
            unit="percentunit",
        ),
        stat(
            "Missing verdicts",
            "Verdicts that score has not published although its tick has passed the event.",
            'max(weir_coverage_missing{detector="all"})',
            limit=1,
        ),
        stat(
            "Verdict lag",
            "Lag of verdicts behind inference.",
            "max(weir_verdict_lag_seconds)",
            unit="s",
            limit=60,
        ),
        stat("Score lag", "Records of inference that score has not acknowledged.", "sum(weir_score_lag_records)"),
        timeseries(
            "Verdicts",
            "Verdicts per second, by detector.",
            per_label("rate", "weir_score_verdicts_total", "detector", where=_DETECTOR),
            unit="ops",
        ),
        timeseries(
            "Flagged",
            "Share of verdicts that are flagged; a point links to the traces of that detector.",
            query(
                f'sum by (detector) (rate(weir_score_verdicts_total{{detector=~"$detector",label="flagged"}}[{RATE}]))'
                f" / sum by (detector) (rate(weir_score_verdicts_total{_DETECTOR}[{RATE}]))",
                "{{detector}}",
            ),
            unit="percentunit",
            links=[trace_link("Traces", "weir-score", "evaluate ${__field.labels.detector}")],
        ),
        heatmap(
            "Scores",
            "Distribution of the scores of the selected detectors; higher is worse.",
            f'sum by (le) (increase(weir_score_value_bucket{{detector=~"$detector",side=~"$side"}}[{RATE}]))',
        ),
        timeseries(
            "Median and high scores",
            "The 50th and 95th percentile by detector and side; they change before the flagged share does.",
            *(
                quantile(
                    share,
                    "weir_score_value",
                    "detector",
                    "side",
                    where='{detector=~"$detector",side=~"$side"}',
                    legend=f"{{{{detector}}}} {{{{side}}}} p{share * 100:.0f}",
                )
                for share in (0.5, 0.95)
            ),
        ),
        timeseries(
            "Detector latency",
            "95th percentile of the time of a detector for a batch.",
            quantile(0.95, "weir_score_detector_seconds", "detector", where=_DETECTOR),
            unit="s",
        ),
        bars(
            "Coverage by detector",
            "Completed verdicts as a share of the expected verdicts.",
            'weir_coverage_ratio{detector!="all"}',
            unit="percentunit",
            legend="{{detector}}",
        ),
        timeseries(
            "Lag",
            "Records that the ledger has not read, by topic, and records that score has not acknowledged.",
            query("weir_ledger_lag_records", "ledger {{topic}}"),
            query("sum(weir_score_lag_records)", "score"),
        ),
        timeseries(
            "Dead letters",
            "Records that could not be read or processed; see weir dlq list.",
            per_label("increase", "weir_dead_letters_total", "stage", "disposition"),
        ),
    ],
    [
        variable("detector", "label_values(weir_score_verdicts_total, detector)"),
        variable("side", "label_values(weir_score_value_count, side)"),
    ],
)

DRIFT = dashboard(
    "weir-drift",
    "Weir: drift",
    "Window statistics divided by their limits, by tenant and model; above 1 is an alarm.",
    [
        timeseries(
            f"{name.capitalize()}: statistic / limit",
            "Statistic divided by limit in the newest closed window; statistics grow fast above 1.",
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
            "The ten streams with the largest statistic / limit.",
            f"topk(10, weir_stream_statistic{{{_STREAM}}} / weir_stream_limit{{{_STREAM}}})",
            legend="{{detector}} {{tenant}} {{model}} {{side}}",
        ),
        timeseries(
            "Windows closed",
            "Findings of closed windows per minute, with and without alarm.",
            query(
                f"sum by (detector, alarm) (rate(weir_bucket_findings_total[{RATE}])) * 60",
                "{{detector}} alarm {{alarm}}",
            ),
        ),
        timeseries(
            "Watermark lag",
            "Time of the watermark behind the newest source, by partition of signals; windows close later by this time.",
            query("weir_watermark_lag_seconds", "{{partition}}"),
            unit="s",
        ),
        timeseries(
            "Late events",
            "Events for closed windows, which are not applied; windows closed early to limit memory.",
            per_label("increase", "weir_late_events_total", legend="late"),
            per_label("increase", "weir_buckets_closed_early_total", legend="closed early"),
        ),
    ],
    [
        variable("tenant", "label_values(weir_stream_limit, tenant)"),
        variable("model", 'label_values(weir_stream_limit{tenant=~"$tenant"}, model)'),
    ],
)

ALERTS = dashboard(
    "weir-alerts",
    "Weir: alerts and retraining",
    "Firing alerts, notifications and retraining events. A point of the first chart links to the traces of its alerts.",
    [
        stat(
            "Firing",
            "Firing alerts in Kafka, including silenced ones (reported by the bridge).",
            "max(weir_bridge_firing_alerts)",
            limit=1,
        ),
        stat(
            "Findings",
            "Findings that the alert stage read per minute.",
            f"sum(rate(weir_findings_read_total[{RATE}])) * 60",
        ),
        stat(
            "Unreachable targets",
            "Alertmanagers and webhooks that accept no notifications.",
            "count(weir_bridge_target_reachable == 0) or count(weir_bridge_target_reachable) * 0",
            limit=1,
        ),
        stat(
            "Retraining requested",
            "Retraining requests since watch started.",
            'sum(weir_retraining_decisions_total{state="requested"})',
        ),
        timeseries(
            "Alert records",
            "Alerts that fire, change and resolve, by detector, state and severity.",
            query(
                f"sum by (detector, state, severity) (increase(weir_alert_records_total[{RATE}]))"
                " and sum by (detector, state, severity) (weir_alert_records_total) > 0",
                "{{detector}} {{state}} {{severity}}",
            ),
            links=[trace_link("Traces of these alerts", "weir-watch", "alert ${__field.labels.detector}")],
        ),
        timeseries(
            "Findings",
            "Findings that the alert stage read, by detector.",
            per_label("increase", "weir_findings_read_total", "detector"),
        ),
        timeseries(
            "Notifications",
            "Requests to Alertmanagers and webhooks, by target and outcome.",
            per_label("rate", "weir_bridge_posts_total", "target", "outcome"),
            unit="reqps",
        ),
        timeseries(
            "Retraining decisions",
            "Requested, or suppressed because a condition does not hold.",
            query("sum by (state) (weir_retraining_decisions_total)", "{{state}}"),
        ),
        {
            "type": "alertlist",
            "title": "Firing at Alertmanager",
            "description": "Firing alerts with their annotations: summary, runbook and trace.",
            "datasource": {"type": "alertmanager", "uid": "alertmanager"},
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
