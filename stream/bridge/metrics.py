"""The bridge's metrics. The label `target` is the URL of an Alertmanager or the name of a webhook."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class BridgeMetrics:
    """Counters and gauges of the bridge."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, description: str, *labels: str) -> Gauge:
            return Gauge(f"weir_bridge_{name}", description, labels, registry=registry)

        def counter(name: str, description: str, *labels: str) -> Counter:
            return Counter(f"weir_bridge_{name}", description, labels, registry=registry)

        self.posts = counter("posts", "Requests to Alertmanagers and webhooks", "target", "outcome")
        self.firing = gauge("firing_alerts", "Firing alerts in the log, silenced ones too")
        self.dropped = gauge("dropped_alerts", "Firing alerts that were dropped to bound memory")
        self.caught_up = gauge("caught_up", "Whether the whole log was read: 1 or 0")
        self.reading = gauge("webhook_reading", "Whether alerts are read for a webhook: 1 or 0", "target")
        self.missed = counter(
            "webhook_missed_records",
            "Alert records that left the log before a webhook received them; the newest of each alert stays",
            "target",
        )
        self.reachable = gauge("target_reachable", "Whether a target accepted the last request: 1 or 0", "target")
        self.last_success = gauge("last_success_timestamp_seconds", "When a target last accepted a request", "target")

    def posted(self, target: str, *, accepted_at: float | None) -> None:
        """Count a request to `target`; `accepted_at` is the time of acceptance, None if the request failed."""
        self.posts.labels(target, "failed" if accepted_at is None else "taken").inc()
        self.reachable.labels(target).set(accepted_at is not None)
        if accepted_at is not None:
            self.last_success.labels(target).set(accepted_at)
