"""The bridge's metrics. The label `target` is the URL of an Alertmanager or the name of a webhook."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge


class BridgeMetrics:
    """Counters and gauges of the bridge."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self.posts = counter("weir_bridge_posts", "Requests to Alertmanagers and webhooks", ["target", "outcome"])
        self.firing = gauge("weir_bridge_firing_alerts", "Firing alerts in the log, silenced ones too")
        self.dropped = gauge("weir_bridge_dropped_alerts", "Firing alerts that were dropped to bound memory")
        self.caught_up = gauge("weir_bridge_caught_up", "Whether the whole log was read: 1 or 0")
        self.reading = gauge("weir_bridge_webhook_reading", "Whether alerts are read for a webhook: 1 or 0", ["target"])
        self.missed = counter(
            "weir_bridge_webhook_missed_records",
            "Alert records that left the log before a webhook received them; the newest of each alert stays",
            ["target"],
        )
        self.reachable = gauge(
            "weir_bridge_target_reachable", "Whether a target accepted the last request: 1 or 0", ["target"]
        )
        self.last_success = gauge(
            "weir_bridge_last_success_timestamp_seconds", "When a target last accepted a request", ["target"]
        )

    def posted(self, target: str, *, accepted_at: float | None) -> None:
        """Count a request to `target`; `accepted_at` is the time of acceptance, None if the request failed."""
        self.posts.labels(target, "failed" if accepted_at is None else "taken").inc()
        self.reachable.labels(target).set(accepted_at is not None)
        if accepted_at is not None:
            self.last_success.labels(target).set(accepted_at)
