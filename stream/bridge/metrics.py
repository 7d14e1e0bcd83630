"""What the bridge shows of itself."""

from prometheus_client import CollectorRegistry, Counter, Gauge

__all__ = ["BridgeMetrics"]


class BridgeMetrics:
    """Counters and gauges; `target` is an Alertmanager's URL or a webhook's name, so their number is that of the settings."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.posts = Counter(
            "weir_bridge_posts", "Requests to Alertmanagers and webhooks", ["target", "outcome"], registry=registry
        )
        self.firing = Gauge(
            "weir_bridge_firing_alerts", "Alerts that fire, by the log, silenced ones too", registry=registry
        )
        self.dropped = Gauge("weir_bridge_dropped_alerts", "Firing alerts let go to bound memory", registry=registry)
        self.caught_up = Gauge("weir_bridge_caught_up", "1 when all of the log was read", registry=registry)
        self.reading = Gauge(
            "weir_bridge_webhook_reading",
            "Whether the alerts of a webhook are read: 1 or 0",
            ["target"],
            registry=registry,
        )
        self.missed = Counter(
            "weir_bridge_webhook_missed_records",
            "Records of alerts that left the log before a webhook could be told; the newest of each alert stays",
            ["target"],
            registry=registry,
        )
        self.reachable = Gauge(
            "weir_bridge_target_reachable",
            "Whether a target took what it was sent last: 1 or 0",
            ["target"],
            registry=registry,
        )
        self.last_success = Gauge(
            "weir_bridge_last_success_timestamp_seconds",
            "When a target last took what it was sent",
            ["target"],
            registry=registry,
        )

    def sent(self, target: str, *, moment: float | None) -> None:
        """Count a request to `target`: taken at `moment`, or, where that is None, failed."""
        self.posts.labels(target, "failed" if moment is None else "taken").inc()
        self.reachable.labels(target).set(moment is not None)
        if moment is not None:
            self.last_success.labels(target).set(moment)
