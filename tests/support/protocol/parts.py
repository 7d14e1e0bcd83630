"""How a world's processes are put together: the shipper, the score and watch workers, the ledger; each from our own code."""

import asyncio

from opentelemetry.trace import NoOpTracerProvider
from prometheus_client import CollectorRegistry

from serving.capture.pipeline import Pace
from serving.capture.shipper import Shipper
from stream.dead_letters import DeadLetters
from stream.ledger.service import run_ledger
from stream.runtime.app import create_base_app
from stream.settings import KafkaSettings, LedgerSettings, WatchSettings, tenant_settings
from stream.stages.score.agent import ScoreAgent, ScoreParts
from stream.stages.score.batches import Batcher
from stream.stages.score.metrics import ScoreMetrics
from stream.stages.score.model_pool import Failed
from stream.stages.score.model_process import ModelProcess, ModelSpec
from stream.stages.score.spans import ScoreSpans
from stream.stages.watch_app import create_app
from support import doubles
from support.protocol.faust_worker import FaustWorker
from support.signal_log import Level, LevelDetector

P, Q = 2, 2
KAFKA = KafkaSettings(bootstrap_servers="simulated:9092", partitions=P, stream_partitions=Q)
DETECTORS = ("pii", "toxicity")
ENGINE = ModelSpec(threads=1, detectors=DETECTORS, create=doubles.create, embedder=None)
PACE = Pace(poll_seconds=0.2, save_seconds=0.3, window_frames=6, stall_seconds=20.0)
WATCH = WatchSettings(source_silence_seconds=12, outstanding_events=200)
BUCKET_SECONDS = 2.0
COOL_DOWN_SECONDS = 20.0
_RETRAINING = {"windows": 1, "events": 2, "principals": 1, "largest_share": 1.0, "cool_down_seconds": COOL_DOWN_SECONDS}
_ALERTS = {"resolve_after_seconds": 8, "update_seconds": 2, "close_windows": 2, "critical_findings": 5}
TENANTS = {"*": {"bucket_seconds": BUCKET_SECONDS, "alerts": _ALERTS, "retraining": _RETRAINING}}


def tenant(name):
    return tenant_settings(TENANTS, name)


class LengthDetector(LevelDetector):
    """Alarms on long texts."""

    version = "length-1"
    feature = "characters"

    def __init__(self, config=None):
        super().__init__(config or Level(limit=50.0))

    def update_many(self, observations):
        return self._finding(max(self._added(observations), default=0.0))


def length_detectors(_):
    """Return the stream detectors of every tenant."""
    return {"drift": LengthDetector()}


class _Pool:
    """Stands where the model processes are: a boundary of processes that no virtual clock reaches. The engine is the real one."""

    workers = 1

    def __init__(self, network):
        self._network = network
        self._engine = ModelProcess(ENGINE)
        self._engine.load()

    async def score(self, items, deliver):
        await asyncio.sleep(self._network.random.choice((0.0, 0.01, 0.2)))
        for row, item in enumerate(items):
            try:
                deliver(row, self._engine.score([item])[0])
            except ValueError as error:
                deliver(row, Failed(disposition="bug", error=type(error).__name__))


class Parts:
    """Makes the processes of one world."""

    def __init__(self, root, network):
        self.root = root
        self.network = network
        self.spool = root / "spool"
        self.spool.mkdir(parents=True)
        self.ledger = root / "ledger"

    def shipper(self, process, stop):
        """Start the shipper as `process`."""
        shipper = process.within(self._shipper)
        process.spawn(shipper.run(stop))
        process.on_end.append(lambda: [lock.release() for lock in shipper._locks.values()])

    def _shipper(self):
        return Shipper(
            self.spool,
            {"bootstrap_servers": KAFKA.bootstrap_servers},
            names=KAFKA.names,
            partitions=P,
            registry=CollectorRegistry(),
            tracer_provider=NoOpTracerProvider(),
            pace=PACE,
        )

    def score(self, process):
        """Make a score worker as `process`; as stream/score/app.py does, but for the processes of the models."""
        return process.within(self._score, process)

    def _score(self, process):
        names, registry = KAFKA.names, CollectorRegistry()
        app = create_base_app(f"{KAFKA.topic_prefix}score", KAFKA, data_dir=self.root)
        metrics = ScoreMetrics(registry)
        spans = ScoreSpans(NoOpTracerProvider(), names.inference, "score")
        pool = _Pool(self.network)
        batcher = Batcher(pool, events=4, wait_seconds=0.02, spans=spans, metrics=metrics)
        parts = ScoreParts(
            batcher=batcher,
            dead_letters=DeadLetters(app.publisher, names.dead_letters, "score", registry=registry),
            spans=spans,
            metrics=metrics,
            version_of=lambda _: "unknown",
            embedding_sample=1.0,
            outstanding=8,
        )
        agent = ScoreAgent(app, parts)
        app.background += [batcher.run, agent.ticks.run]
        return FaustWorker(process, self.network, KAFKA.bootstrap_servers, app, {(names.inference,): agent.run})

    def watch(self, process):
        """Make a watch worker as `process`."""
        return process.within(self._watch, process)

    def _watch(self, process):
        app = create_app(
            KAFKA,
            WATCH,
            TENANTS,
            data_dir=self.root,
            registry=CollectorRegistry(),
            tracer_provider=NoOpTracerProvider(),
            detectors=length_detectors,
        )
        agents = {tuple(agent.channel.topics): agent.fun for agent in app.agents.values()}
        return FaustWorker(process, self.network, KAFKA.bootstrap_servers, app, agents)

    def run_ledger(self, process, stop):
        """Start the ledger as `process`."""
        process.spawn(
            run_ledger(
                directory=self.ledger,
                kafka=KAFKA,
                ledger=LedgerSettings(),
                registry=CollectorRegistry(),
                tracer_provider=NoOpTracerProvider(),
                stop=stop,
                health={},
            )
        )
