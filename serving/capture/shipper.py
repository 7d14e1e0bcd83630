"""The shipper: one supervised process a node that sends every spool to Kafka and ends those of dead gateways.

Why this exists: the request path never talks to Kafka. While the broker is away the shipper waits; that is no reason to restart it, so
Kafka's absence is a metric and a line in ``shipper.json``, and its health fails only when its own loop hangs.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from opentelemetry.trace import TracerProvider
from prometheus_client import CollectorRegistry

from serving.capture.adopt_spool import adopt
from serving.capture.balance import BalanceReader
from serving.capture.delivery_cursor import Cursor, Totals, load_totals, save_totals
from serving.capture.heartbeat import Heartbeat
from serving.capture.metrics import BalanceCollector, ShipperMetrics
from serving.capture.pipeline import Pace, Pipeline
from serving.capture.producer import Delivery
from serving.capture.spool_layout import LOCK_FILE, source_directories
from stream.files import FileLock, replace_file
from stream.wire import TopicNames

__all__ = ["Shipper", "ShipperStatus", "read_shipper_status", "run_shipper"]

_LOG = logging.getLogger(__name__)
_SCAN_SECONDS = 0.5
_STOP_SECONDS = 8.0
_LOCK_NAME = "shipper.lock"
_STATUS_FILE = "shipper.json"


class ShipperStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the shipper last said.

    Parameters
    ----------
    pid
        Its process.
    reason
        "" while Kafka takes records, else what is wrong.
    since
        When that began, seconds since the epoch.
    """

    pid: int
    reason: str = ""
    since: float = 0.0


def read_shipper_status(spool_root: Path) -> ShipperStatus | None:
    """Return what the shipper last said of Kafka, or None where none has run (or a power loss took its words)."""
    try:
        return msgspec.json.decode((spool_root / _STATUS_FILE).read_bytes(), type=ShipperStatus)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


async def run_shipper(  # noqa: PLR0913 - what a process's main hands over
    *,
    spool_root: Path,
    kafka_options: Mapping[str, Any],
    names: TopicNames,
    partitions: int,
    registry: CollectorRegistry,
    tracer_provider: TracerProvider,
    stop: asyncio.Event,
    health: dict[str, object],
) -> None:
    """Ship every spool under `spool_root` until `stop`.

    Parameters
    ----------
    spool_root
        ``$WEIR_HOME/spool``; made if it is not there.
    kafka_options
        What every aiokafka client takes (:meth:`stream.settings.KafkaSettings.client_options`).
    names, partitions
        Topics, and P.
    registry, tracer_provider
        Where metrics and spans go.
    stop
        Set to end: what is in flight is waited for for some seconds, cursors are written.
    health
        Filled with a reason while this loop hangs.
    """
    await asyncio.to_thread(spool_root.mkdir, mode=0o700, parents=True, exist_ok=True)
    lock = await _only_one(spool_root, stop)
    if lock is None:
        return
    heartbeat = Heartbeat(health)
    shipper = Shipper(
        spool_root,
        kafka_options,
        names=names,
        partitions=partitions,
        registry=registry,
        tracer_provider=tracer_provider,
    )
    try:
        await shipper.run(stop, heartbeat.beat)
    finally:
        heartbeat.stop()
        lock.release()


async def _only_one(root: Path, stop: asyncio.Event) -> FileLock | None:
    """Wait until no other shipper works on `root`: the one before may still be ending."""
    told = False
    while not stop.is_set():
        lock = FileLock.try_acquire(root / _LOCK_NAME)
        if lock is not None:
            return lock
        if not told:
            _LOG.warning("another shipper works on %s; waiting for it to end", root)
            told = True
        await _sleep(stop, _SCAN_SECONDS)
    return None


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


class Shipper:
    """Finds spools, ships each by a :class:`~serving.capture.pipeline.Pipeline`, adopts orphans, removes what is drained."""

    def __init__(  # noqa: PLR0913 - as run_shipper
        self,
        root: Path,
        kafka_options: Mapping[str, Any],
        *,
        names: TopicNames,
        partitions: int,
        registry: CollectorRegistry,
        tracer_provider: TracerProvider,
        pace: Pace | None = None,
    ) -> None:
        self._root = root
        self._pace = pace
        self._tracer = tracer_provider.get_tracer("weir.capture")
        self._metrics = ShipperMetrics(registry)
        registry.register(BalanceCollector(BalanceReader(root)))
        self._status: str | None = None
        self._delivery = Delivery(
            kafka_options, names, partitions, on_status=self._say, on_producer=self._metrics.producers.inc
        )
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._locks: dict[str, FileLock] = {}
        self._adopted: set[str] = set()
        self._folding = asyncio.Lock()  # the totals are read, added to and written: one spool at a time

    async def run(self, stop: asyncio.Event, beat: Callable[[], object] = bool) -> None:
        """Ship until `stop`; a bug in one spool's pipeline ends the process, and its supervisor starts it anew."""
        delivery = asyncio.create_task(self._delivery.run(), name="delivery")
        try:
            while not stop.is_set():
                beat()
                self._raise_failures(delivery)
                await self._scan(stop)
                await _sleep(stop, _SCAN_SECONDS)
        finally:
            await _end(self._tasks.values(), _STOP_SECONDS)
            await _end([delivery], 0)
            for lock in self._locks.values():
                lock.release()

    async def _scan(self, stop: asyncio.Event) -> None:
        for source, directory in source_directories(self._root).items():
            if not directory.is_dir():  # shipped whole and removed, while another one was adopted
                continue
            if source in load_totals(self._root).folded:
                await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
                continue
            await self._adopt(source, directory)
            if source not in self._tasks:
                self._tasks[source] = asyncio.create_task(self._ship(source, directory, stop), name=source)

    async def _adopt(self, source: str, directory: Path) -> None:
        """End the spool of a gateway that is gone; a full disk is tried again at the next round."""
        if source in self._adopted:
            return
        if source not in self._locks:
            lock = FileLock.try_acquire(directory / LOCK_FILE)
            if lock is None:
                return
            self._locks[source] = lock
        try:
            aborted = await asyncio.to_thread(adopt, directory, source)
        except OSError as error:
            _LOG.warning("%s: cannot be ended yet: %s", source, error)
            return
        self._adopted.add(source)
        if aborted is not None:
            self._metrics.adopted.inc()
            _LOG.info("%s: its gateway is gone; %d requests aborted", source, aborted)

    async def _ship(self, source: str, directory: Path, stop: asyncio.Event) -> None:
        pipeline = Pipeline(
            directory,
            self._delivery,
            tracer=self._tracer,
            metrics=self._metrics,
            pace=self._pace,
        )
        await pipeline.run(stop)
        while pipeline.closed and source not in self._adopted and not stop.is_set():
            await _sleep(stop, _SCAN_SECONDS)  # it said that it is closed, and holds its lock a little longer
        if pipeline.closed and source in self._adopted and await self._folded(directory, pipeline.cursor, stop):
            self._locks.pop(source).release()
            self._adopted.discard(source)
            del self._tasks[source]

    async def _folded(self, directory: Path, cursor: Cursor, stop: asyncio.Event) -> bool:
        """Count a drained spool and remove it; a full disk is tried again, while the other spools go on, until `stop`."""
        while not stop.is_set():
            try:
                async with self._folding:
                    await asyncio.to_thread(fold, self._root, directory, cursor)
            except OSError as error:
                _LOG.warning("%s: cannot be removed yet: %s", directory.name, error)
                await _sleep(stop, _SCAN_SECONDS)
            else:
                return True
        return False

    def _raise_failures(self, delivery: "asyncio.Task[None]") -> None:
        for task in (delivery, *self._tasks.values()):
            if task.done():
                task.result()

    def _say(self, reason: str) -> None:
        """Tell of Kafka when what there is to say changes."""
        self._metrics.reachable.set(0 if reason else 1)
        if reason == self._status:
            return
        self._status = reason
        _LOG.log(logging.WARNING if reason else logging.INFO, "kafka: %s", reason or "takes records")
        status = ShipperStatus(pid=os.getpid(), reason=reason, since=time.time())
        with contextlib.suppress(OSError):  # a full disk: what it says is no reason to stop what it does
            replace_file(self._root / _STATUS_FILE, msgspec.json.encode(status))


def fold(root: Path, directory: Path, cursor: Cursor) -> None:
    """Add a drained spool to the totals, then remove it; a kill in between leaves a directory that no longer counts.

    The caller sees to it that no two run at once.
    """
    totals = load_totals(root)
    there = source_directories(root)
    if directory.name not in totals.folded:
        totals = Totals(
            accepted=totals.accepted + cursor.number,
            delivered=totals.delivered + cursor.delivered,
            shed=totals.shed + cursor.shed + cursor.moved,
            folded=(*(source for source in totals.folded if source in there), directory.name),
        )
        save_totals(root, totals)
    shutil.rmtree(directory, ignore_errors=True)


async def _end(tasks: Any, seconds: float) -> None:
    pending = [task for task in tasks if not task.done()]
    if pending and seconds:
        await asyncio.wait(pending, timeout=seconds)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
