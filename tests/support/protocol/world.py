"""A world: simulated gateways, shipper, broker, workers and ledger, and the supervisor that restarts them."""

import asyncio
import logging
import random
import tempfile
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

import stream.ledger.schema
import stream.ledger.service
import stream.ledger.store
from serving.capture.balance import read_balance
from serving.settings import CaptureSettings
from stream.ledger.time_share import TimeShare
from support.protocol.clients import doubled
from support.protocol.coordinator import Coordinator
from support.protocol.faust_worker import FaustWorker
from support.protocol.gateway import Gateway, virtual_disk
from support.protocol.network import Network, Weather
from support.protocol.parts import KAFKA, Parts
from support.protocol.virtual_time import CURRENT, Process
from support.simulated_kafka import SimulatedKafka

_NAMES = KAFKA.names
_GROUPS = {"score": (_NAMES.inference,), "watch": (_NAMES.signals, _NAMES.findings, _NAMES.alerts, _NAMES.retraining)}
_CHANGELOGS = ("streams", "alerts", "retraining")
_MEMORY = Path("/dev/shm")
_REST_SECONDS = 400.0


class Accepted(msgspec.Struct):
    """Requests and ends that the gateways accepted; the checks compare the log with them."""

    requests: dict[str, str] = {}
    ends: dict[str, str] = {}
    #: Requests whose write was cut: they may be in the log.
    cut: set[str] = set()
    #: Count of the numbers that gateways certainly assigned to records.
    numbers: int = 0
    #: How many more numbers may exist: of writes that were cut, and of the ends that an adopter of a spool adds.
    perhaps: int = 0


class World:
    """All processes of one world, and the random generator that selects the world's steps."""

    def __init__(self, seed, loop, root):
        self.seed = seed
        self.loop = loop
        self.random = random.Random(f"world {seed}")
        topics = {topic.name: topic.partitions for topic in KAFKA.topics()}
        topics |= {f"weir.watch-{name}-changelog": KAFKA.stream_partitions for name in _CHANGELOGS}
        self.kafka = SimulatedKafka(topics, loop.time)
        self.network = Network(loop, self.kafka, seed)
        self.parts = Parts(root, self.network)
        self.balance = partial(read_balance, self.parts.spool)
        self.accepted = Accepted()
        self.violations: dict[str, str] = {}
        self.gateways: list[Gateway] = []
        self.processes: dict[str, Process] = {}
        self.workers: dict[str, FaustWorker] = {}
        self._supervisors: dict[str, asyncio.Task[Any]] = {}
        self.coordinators = {
            name: Coordinator(loop, self.kafka, f"weir.{name}", topics, seed) for name, topics in _GROUPS.items()
        }
        self._background = [loop.create_task(one.run()) for one in self.coordinators.values()]

    def start(self):
        """Start one process of each kind."""
        self.open_gateway()
        for name in ("shipper", "ledger", "score-0", "watch-0"):
            self.supervise(name)

    def supervise(self, name):
        """Start a process, and restart it whenever it ends."""
        if name not in self._supervisors:
            self._supervisors[name] = self.loop.create_task(self._supervise(name))

    async def _supervise(self, name):
        while True:
            process = self.processes[name] = Process(self.loop, name)
            self._start(name, process)
            await process.dead.wait()
            if process.error is not None:
                self.violated("no process ends by itself", f"{name}: {process.error!r}")
            await process.reap()
            await asyncio.sleep(self.random.uniform(0.1, 1.5))

    def _start(self, name, process):
        kind = name.partition("-")[0]
        worker = getattr(self.parts, kind)(process)
        if worker is not None:
            self.workers[name] = worker
            worker.start()
            self.coordinators[kind].join(worker)

    async def leave(self, name):
        """Stop a worker cleanly: it commits its offsets and leaves its group."""
        supervisor = self._supervisors.pop(name, None)
        if supervisor is None:
            return
        supervisor.cancel()
        worker = self.workers.pop(name)
        if worker.process.alive and worker.process.running.is_set():
            await asyncio.wait([worker.process.spawn(worker.consumer.commit())], timeout=5)
        worker.process.kill()
        await worker.process.reap()
        coordinator = self.coordinators[name.partition("-")[0]]
        if worker in coordinator.members:
            coordinator.members.remove(worker)
        coordinator.rebalance()

    def open_gateway(self, limit_bytes=1_000_000):
        """Start a gateway."""
        settings = CaptureSettings(limit_bytes=limit_bytes, segment_bytes=4_000, end_reserve_bytes=2_048)
        process = Process(self.loop, f"gateway-{len(self.gateways)}")
        self.gateways.append(Gateway(process, self.parts.spool, settings, self.random.uniform(-1.5, 1.5), self._ended))

    def _ended(self, gateway):
        """Record that a gateway ended. The adopter of its spool may write an end for each open request."""
        self.accepted.perhaps += len(gateway.open)

    async def rest(self):
        """Remove all faults and wait until every accepted request is processed; return False at the deadline."""
        self.network.weather = Weather(slowest=0.02)
        self.network.up.set()
        for process in (*self.processes.values(), *(gateway.process for gateway in self.gateways)):
            process.fuse = process.write_fuse = process.stop_fuse = None
            process.resume()
        for worker in self.workers.values():
            worker.slow.clear()
        for name in ("score-0", "watch-0"):
            self.supervise(name)
        self.open_gateway()
        for gateway in self.gateways[:-1]:
            if gateway.process.alive:
                gateway.close()
        deadline = self.loop.time() + _REST_SECONDS
        while self._spools() or self.balance().spooled > 0:
            if self.loop.time() > deadline:
                return False
            await asyncio.sleep(1)
        await asyncio.sleep(12)  # windows close, alerts fire and resolve, the ledger continues to read
        events = {place: len(log) for place, log in self.kafka.written.items()}
        if not await self._read_up_to(events, deadline):
            return False
        self.gateways[-1].process.stop(2 * _REST_SECONDS)  # event time stops; records in flight are processed
        await asyncio.sleep(3)
        rested = await self._read_up_to(None, deadline)
        await asyncio.sleep(3)
        return rested

    def _spools(self):
        last = self.gateways[-1].source
        return [path for path in self.parts.spool.glob("gateway-*") if path.name != last]

    async def _read_up_to(self, ends, deadline):
        """Wait until the groups have committed all offsets below `ends` (default: the log's end); return False at the deadline."""
        while self.behind(ends):
            if self.loop.time() > deadline:
                return False
            await asyncio.sleep(1)
        return True

    def behind(self, ends=None):
        """Return the partitions whose committed offset is below `ends` (default: the log's end)."""
        wanted = ends or {place: len(log) for place, log in self.kafka.written.items()}
        return [
            place
            for group, topics in _GROUPS.items()
            for place, end in wanted.items()
            if place[0] in topics and self.kafka.group(f"weir.{group}").committed.get(place, 0) < end
        ]

    def violated(self, invariant, what):
        """Record a violation of an invariant if it is the first."""
        self.violations.setdefault(invariant, what)

    async def end(self):
        """Kill all processes."""
        for task in (*self._supervisors.values(), *self._background):
            task.cancel()
        for process in self.processes.values():
            process.kill()
            await process.reap()
        for gateway in self.gateways:
            gateway.kill()
            await gateway.process.reap()


def _closed_with_process(open_database):
    """Return `open_database`, but the end of the simulated process closes the database, as the kernel does for a real one.

    Python 3.13 warns of an open database that is deleted.
    """

    def opened(*arguments):
        database = open_database(*arguments)
        if (process := CURRENT.get()) is not None:
            process.on_end.append(database.close)
        return database

    return opened


@contextmanager
def open_world(seed, loop):
    """Create a world in a temporary folder, in memory if possible."""
    with ExitStack() as stack:
        within = str(_MEMORY) if _MEMORY.is_dir() else None
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=within, ignore_cleanup_errors=True))
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        stack.callback(logging.disable, before)
        stack.enter_context(virtual_disk(loop, seed))
        stack.enter_context(
            mock.patch.object(stream.ledger.schema, "_open", _closed_with_process(stream.ledger.schema._open))
        )
        stack.enter_context(mock.patch.object(stream.ledger.service, "_BEAT_SECONDS", 5.0))  # not checked, and slow
        virtual = partial(TimeShare, clock=loop.time)  # with the real clock, a seed could give different alerts
        stack.enter_context(mock.patch.object(stream.ledger.store, "TimeShare", virtual))
        world = World(seed, loop, Path(folder))
        stack.enter_context(doubled(KAFKA.bootstrap_servers, world.network))
        yield world
