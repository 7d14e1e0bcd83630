"""The metrics of delivery."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge

from stream.wire import RouteRecord


class DeliveryMetrics:
    """Counters and gauges of delivery."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self.decisions = counter("weir_delivery_decisions", "New routes, by the state of their request", ("state",))
        self.verdicts = counter("weir_delivery_verdicts", "Verdicts on answers of a canary and its champion")
        self.lag = gauge("weir_delivery_lag", "Records that are not read yet")
        self._weight = gauge("weir_route_weight", "Percent of the conversations by role", ("tenant", "model", "role"))
        self._epoch = gauge("weir_route_epoch", "Epoch of the route", ("tenant", "model"))

    def show(self, route: RouteRecord) -> None:
        """Show the newest route of a model."""
        labels = (route.tenant, route.model)
        self._epoch.labels(*labels).set(route.epoch)
        self._weight.labels(*labels, "champion").set(route.weights.get(route.champion, 0))
        challenger = route.weights.get(route.challenger, 0) if route.challenger else 0
        self._weight.labels(*labels, "challenger").set(challenger)
