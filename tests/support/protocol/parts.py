"""Create the processes of a world from Weir's code: the shipper, the score and watch workers, and the ledger."""

import asyncio
from unittest import mock

from opentelemetry.trace import NoOpTracerProvider
from prometheus_client import CollectorRegistry

from serving.capture.pipeline import DeliveryLimits
from serving.capture.shipper import Shipper
from stream.ledger.service import run_ledger
from stream.settings import (
    DetectorSettings,
    KafkaSettings,
    LedgerSettings,
    ScoreSettings,
    WatchSettings,
    tenant_settings,
)
from stream.stages import score_app, watch_app
from stream.stages.score.model_pool import Failed
from stream.stages.score.model_process import ModelProcess, ModelSpec
from support import doubles
from support.protocol.faust_worker import FaustWorker
from support.signal_log import Level, LevelDetector

P, Q = 2, 2
KAFKA = KafkaSettings(bootstrap_servers="simulated:9092", partitions=P, stream_partitions=Q)
DETECTORS = ("pii", "toxicity")
ENGINE = ModelSpec(threads=1, detectors=DETECTORS, create=doubles.create, embedder=None)
SCORE = ScoreSettings(batch_events=4, outstanding_events=8, explain_findings=0)
LIMITS = DeliveryLimits(poll_seconds=0.2, save_seconds=0.3, window_frames=6, stall_seconds=20.0)
WATCH = WatchSettings(source_silence_seconds=12, outstanding_events=200)
BUCKET_SECONDS = 2.0
COOL_DOWN_SECONDS = 20.0
_RETRAINING = {"windows": 1, "events": 2, "principals": 1, "largest_share": 1.0, "cool_down_seconds": COOL_DOWN_SECONDS}
_ALERTS = {"resolve_after_seconds": 8, "update_seconds": 2, "close_windows": 2, "critical_findings": 5}
TENANTS = {"*": {"bucket_seconds": BUCKET_SECONDS, "alerts": _ALERTS, "retraining": _RETRAINING}}


def tenant(name):
    return tenant_settings(TENANTS, name)


class LengthDetector(LevelDetector):
    """A detector that alarms on long texts."""

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
    """A double of the pool of model processes, since no virtual clock reaches other processes. The engine is real."""

    workers = 1
    loaded = True

    def __init__(self, network, spec):
        self._network = network
        self._engine = ModelProcess(spec)
        self._engine.load()

    async def start(self):
        return

    stop = start

    async def score(self, items, deliver):
        await asyncio.sleep(self._network.random.choice((0.0, 0.01, 0.2)))
        for row, item in enumerate(items):
            try:
                deliver(row, self._engine.score([item])[0])
            except ValueError as error:
                deliver(row, Failed(disposition="bug", error=type(error).__name__))


class Parts:
    """Creates the processes of one world."""

    def __init__(self, root, network):
        self.root = root
        self.network = network
        self.spool = root / "spool"
        self.spool.mkdir(parents=True)
        self.ledger_directory = root / "ledger"

    def shipper(self, process):
        """Start the shipper as `process`."""
        kafka, topics = {"bootstrap_servers": KAFKA.bootstrap_servers}, {"names": KAFKA.names, "partitions": P}
        shipper = process.within(lambda: Shipper(self.spool, kafka, limits=LIMITS, **topics, **_telemetry()))
        process.spawn(shipper.run(asyncio.Event()))
        process.on_end.append(lambda: [lock.release() for lock in shipper._locks.values()])

    def score(self, process):
        """Create a score worker as `process`."""
        return self._worker(process, score_app.create_app, DetectorSettings(), SCORE, spec=ENGINE)

    def watch(self, process):
        """Create a watch worker as `process`."""
        return self._worker(process, watch_app.create_app, WATCH, TENANTS, detectors=length_detectors)

    def _worker(self, process, create, *settings, **options):
        def pool(spec, **_):
            return _Pool(self.network, spec)

        with mock.patch.object(score_app, "ModelPool", pool):
            return process.within(self._made, process, create, settings, options)

    def _made(self, process, create, settings, options):
        app = create(KAFKA, *settings, data_dir=self.root, **_telemetry(), **options)
        agents = {tuple(agent.channel.topics): agent.fun for agent in app.agents.values()}
        return FaustWorker(process, self.network, KAFKA.bootstrap_servers, app, agents)

    def ledger(self, process):
        """Start the ledger as `process`."""
        settings = {"directory": self.ledger_directory, "kafka": KAFKA, "ledger": LedgerSettings()}
        process.spawn(run_ledger(stop=asyncio.Event(), health={}, **settings, **_telemetry()))


def _telemetry():
    return {"registry": CollectorRegistry(), "tracer_provider": NoOpTracerProvider()}
