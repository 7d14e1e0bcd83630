"""The trainer's metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class TrainerMetrics:
    """Counters and gauges of the trainer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.runs = Counter("weir_trainer_runs", "Ended training runs", ["outcome"], registry=registry)
        self.running = Gauge("weir_trainer_running", "Whether a run is in progress: 1 or 0", registry=registry)
        self.step = Gauge("weir_trainer_step", "Last step of the present run", registry=registry)
        self.loss = Gauge("weir_trainer_loss", "Loss after the last step", registry=registry)
        self.restarts = Counter(
            "weir_trainer_restarts", "Training processes that ended early and were started again", registry=registry
        )
