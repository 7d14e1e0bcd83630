"""The shipper: one supervised process per node. It sends all spools to Kafka, and completes the spools of dead gateways.

An outage of Kafka changes a metric and ``shipper.json``, but no health check fails, because a restart would not help.
"""

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from opentelemetry.trace import TracerProvider
from prometheus_client import CollectorRegistry

from serving.capture.adopt_spool import adopt
from serving.capture.delivery_cursor import TOTALS_FILE, Cursor, Totals, load_totals
from serving.capture.metrics import BalanceCollector, ShipperMetrics
from serving.capture.pipeline import DeliveryLimits, Pipeline
from serving.capture.producer import Delivery
from serving.capture.spool_layout import LOCK_FILE, source_directories
from stream.files import FileLock, read_json, write_json
from stream.pause import pause
from stream.wire import TopicNames

_LOG = logging.getLogger(__name__)
_SCAN_SECONDS = 0.5
_STOP_SECONDS = 8.0
_LOCK_NAME = "shipper.lock"
_STATUS_FILE = "shipper.json"


class ShipperStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether Kafka accepts records: `reason` is "" or the problem."""

    pid: int
    reason: str = ""


def read_shipper_status(spool_root: Path) -> ShipperStatus | None:
    """Return the last status, or None if no shipper has run (or a power loss damaged the file)."""
    return read_json(spool_root / _STATUS_FILE, ShipperStatus)


async def _only_one(root: Path, stop: asyncio.Event) -> FileLock | None:
    """Wait for the lock of `root`, because the previous shipper may not have ended yet; return None on `stop`."""
    logged = False
    while not stop.is_set():
        lock = FileLock.try_acquire(root / _LOCK_NAME)
        if lock is not None:
            return lock
        if not logged:
            _LOG.warning("another shipper runs on %s; waiting for it to end", root)
            logged = True
        await pause(stop, _SCAN_SECONDS)
    return None


class Shipper:
    """Finds the spools under `root`, sends each by a pipeline, completes spools of dead gateways, and removes delivered spools."""

    def __init__(  # noqa: PLR0913 - what a process's main hands over
        self,
        root: Path,
        kafka_options: Mapping[str, Any],
        *,
        names: TopicNames,
        partitions: int,
        registry: CollectorRegistry,
        tracer_provider: TracerProvider,
        limits: DeliveryLimits | None = None,
    ) -> None:
        self._root = root
        self._limits = limits
        self._tracer = tracer_provider.get_tracer("weir.capture")
        self._metrics = ShipperMetrics(registry)
        registry.register(BalanceCollector(root))
        self._status: str | None = None
        self._delivery = Delivery(
            kafka_options, names, partitions, on_status=self._report, on_producer=self._metrics.producers.inc
        )
        self._tasks: dict[str, asyncio.Task[None]] = {}
        #: The lock of the node's one shipper, and those of the spools of dead gateways.
        self._locks: dict[str, FileLock] = {}
        self._adopted: set[str] = set()
        self._folding = asyncio.Lock()  # the totals are read, changed and written

    async def run(self, stop: asyncio.Event) -> None:
        """Send all spools until `stop`; then wait some seconds for records in flight, and write the cursors.

        An error in a pipeline ends the process, and supervisord restarts the process.
        """
        await asyncio.to_thread(self._root.mkdir, mode=0o700, parents=True, exist_ok=True)
        if (lock := await _only_one(self._root, stop)) is None:
            return
        self._locks[_LOCK_NAME] = lock
        delivery = asyncio.create_task(self._delivery.run(), name="delivery")
        try:
            while not stop.is_set():
                self._raise_failures(delivery)
                await self._scan(stop)
                await pause(stop, _SCAN_SECONDS)
        finally:
            await _end(self._tasks.values(), _STOP_SECONDS)
            await _end([delivery], 0)
            for lock in self._locks.values():
                lock.release()

    async def _scan(self, stop: asyncio.Event) -> None:
        for source, directory in source_directories(self._root).items():
            if not directory.is_dir():  # removed while another spool was completed
                continue
            if source in load_totals(self._root).folded:
                await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
                continue
            await self._adopt(source, directory)
            if source not in self._tasks:
                self._tasks[source] = asyncio.create_task(self._ship(source, directory, stop), name=source)

    async def _adopt(self, source: str, directory: Path) -> None:
        """Complete the spool if its gateway is dead; on a full disk, retry at the next scan."""
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
            _LOG.warning("%s: the spool of a dead gateway cannot be closed yet, retrying: %s", source, error)
            return
        self._adopted.add(source)
        if aborted is not None:
            self._metrics.adopted.inc()
            _LOG.info("%s: its gateway is dead; %d requests aborted", source, aborted)

    async def _ship(self, source: str, directory: Path, stop: asyncio.Event) -> None:
        pipeline = Pipeline(
            directory,
            self._delivery,
            tracer=self._tracer,
            metrics=self._metrics,
            limits=self._limits,
        )
        await pipeline.run(stop)
        while pipeline.closed and source not in self._adopted and not stop.is_set():
            await pause(stop, _SCAN_SECONDS)  # a closed gateway releases its lock a little later
        if pipeline.closed and source in self._adopted and await self._folded(directory, pipeline.cursor, stop):
            self._locks.pop(source).release()
            self._adopted.discard(source)
            del self._tasks[source]

    async def _folded(self, directory: Path, cursor: Cursor, stop: asyncio.Event) -> bool:
        """Add a delivered spool to the totals and remove it; on a full disk, retry until `stop`; return whether it was removed."""
        while not stop.is_set():
            try:
                async with self._folding:
                    await asyncio.to_thread(fold, self._root, directory, cursor)
            except OSError as error:
                _LOG.warning("%s: this delivered spool cannot be removed yet, retrying: %s", directory.name, error)
                await pause(stop, _SCAN_SECONDS)
            else:
                return True
        return False

    def _raise_failures(self, delivery: "asyncio.Task[None]") -> None:
        for task in (delivery, *self._tasks.values()):
            if task.done():
                task.result()

    def _report(self, reason: str) -> None:
        """If `reason` (the problem with Kafka, or "") has changed, log and store it."""
        self._metrics.reachable.set(0 if reason else 1)
        if reason == self._status:
            return
        self._status = reason
        _LOG.log(logging.WARNING if reason else logging.INFO, "kafka: %s", reason or "accepts records")
        status = ShipperStatus(pid=os.getpid(), reason=reason)
        with contextlib.suppress(OSError):  # a full disk does not stop the shipper
            write_json(self._root / _STATUS_FILE, status)


def fold(root: Path, directory: Path, cursor: Cursor) -> None:
    """Add a delivered spool to the totals, then delete the spool. Calls must not overlap.

    If the process is killed between the two steps, a later scan deletes the spool.
    """
    totals = load_totals(root)
    existing = source_directories(root)
    if directory.name not in totals.folded:
        totals = Totals(
            accepted=totals.accepted + cursor.number,
            delivered=totals.delivered + cursor.delivered,
            shed=totals.shed + cursor.shed + cursor.moved,
            folded=(*(source for source in totals.folded if source in existing), directory.name),
        )
        write_json(root / TOTALS_FILE, totals, durable=True)
    shutil.rmtree(directory, ignore_errors=True)


async def _end(tasks: Any, seconds: float) -> None:
    pending = [task for task in tasks if not task.done()]
    if pending and seconds:
        await asyncio.wait(pending, timeout=seconds)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
