"""The ledger's process: read the log into the book, say once a second how things stand, raise its own alerts.

A session is one consumer over all partitions. It ends when Kafka is away for long, when nothing moves although the log grows,
or when a rebuild is asked for; the next one goes on from the offsets in the book.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from stream.errors import LogExpired, ReaderStalled
from stream.kafka.clients import BROKER_ERRORS
from stream.ledger.alert_publisher import AlertPublisher, traced
from stream.ledger.consumer_session import LogReset, Session
from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import Heartbeat
from stream.ledger.metrics import LedgerMetrics
from stream.ledger.store import LedgerStore
from stream.settings import KafkaSettings, LedgerSettings

__all__ = ["run_ledger"]

_LOG = logging.getLogger(__name__)
_BEAT_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_EXPIRE_SECONDS = 300.0
_FEEDBACK_SECONDS = 15.0
_WAITING = "waiting for kafka"
ResultT = TypeVar("ResultT")


async def run_ledger(  # noqa: PLR0913 - what a component is given (weir.component)
    *,
    directory: Path,
    kafka: KafkaSettings,
    ledger: LedgerSettings,
    registry: CollectorRegistry,
    tracer_provider: TracerProvider,
    stop: asyncio.Event,
    health: dict[str, Any],
) -> None:
    """Keep the ledger in `directory` until `stop` is set.

    Parameters
    ----------
    directory
        ``$WEIR_HOME/ledger``; made where it is missing, re-read from the log where another version wrote it.
    kafka, ledger
        Settings; `kafka` has an address.
    registry, tracer_provider
        For metrics, and for the spans of its own alerts.
    stop
        Set to end; what was read is in the files by then.
    health
        Filled with reasons while something is wrong; keys that begin with ``waiting`` need no restart.

    Raises
    ------
    LedgerBusy
        Another process writes the same ledger.
    """
    files = LedgerFiles(directory)
    with files.hold(), ThreadPoolExecutor(1, thread_name_prefix="ledger") as executor:
        service = _Service(
            files=files,
            kafka=kafka,
            settings=ledger,
            metrics=LedgerMetrics(registry),
            provider=tracer_provider,
            health=health,
            executor=executor,
        )
        beats = asyncio.create_task(service.beats())
        try:
            while not stop.is_set():
                await service.run_session(lambda: stop.is_set() or beats.done())
                if beats.done():
                    beats.result()  # the files cannot be written: end, and be started anew
        finally:
            beats.cancel()
            await asyncio.gather(beats, return_exceptions=True)
            await service.close()


class _Service:
    def __init__(  # noqa: PLR0913 - the parts that run_ledger puts together
        self,
        *,
        files: LedgerFiles,
        kafka: KafkaSettings,
        settings: LedgerSettings,
        metrics: LedgerMetrics,
        provider: TracerProvider,
        health: dict[str, Any],
        executor: ThreadPoolExecutor,
    ) -> None:
        self._files = files
        self._kafka = kafka
        self._settings = settings
        self._metrics = metrics
        self._provider = provider
        self._health = health
        self._executor = executor
        self._publisher = AlertPublisher(kafka.client_options(), kafka.names, kafka.stream_partitions)
        self._session: Session | None = None
        self._log_time = 0.0
        self._advanced_at = time.time()
        self._expire_at = time.monotonic() + _EXPIRE_SECONDS
        self._feedback_at = time.monotonic()
        if stale := files.other_version():
            _LOG.warning("%s was written by another version; the ledger is re-read from the log", stale)
            files.delete()
        self._book = self._open()

    def _open(self) -> LedgerStore:
        retention = self._kafka.retention_hours * 3600
        kafka, unstored = self._kafka, self._metrics.unstored.inc
        return LedgerStore(self._files, kafka.names, kafka.partitions, retention, unstored=unstored)

    async def run_session(self, ended: Callable[[], bool]) -> None:
        """Read until `ended()`, trouble, or a wish to rebuild."""
        if self._files.rebuild_asked():
            await self._rebuild("it was asked for")
        self._session = Session(self._kafka, self._metrics, self._call, self._book, self._health)
        try:
            await self._session.run(until=lambda: ended() or self._files.rebuild_asked(), probed=self._probed)
        except LogReset as reset:
            await self._rebuild(str(reset))
        except (LogExpired, ReaderStalled) as stalled:
            _LOG.warning("%s; a fresh consumer goes on", stalled)
        except BROKER_ERRORS as error:
            self._wait_for_kafka(error)
            await self._publisher.close()
            await asyncio.sleep(_RETRY_SECONDS)
        finally:
            self._session = None

    def _wait_for_kafka(self, error: BaseException) -> None:
        reason = f"{self._kafka.bootstrap_servers} does not answer ({type(error).__name__})"
        if self._health.get(_WAITING) != reason:
            _LOG.warning("kafka: %s; the ledger goes on when it is back", reason)
        self._health[_WAITING] = reason

    async def _rebuild(self, why: str) -> None:
        _LOG.warning("the ledger is rebuilt from the log: %s", why)
        await self._call(self._begin_anew)
        self._metrics.rebuilds.inc()

    def _begin_anew(self) -> None:
        """Close, delete and open in one go on the book's thread: a beat in between would find it closed."""
        self._book.close()
        self._files.delete()
        self._book = self._open()
        self._log_time = 0.0

    async def _probed(self) -> None:
        """After each look at the log's end: Kafka answers; raise or resolve alerts once all of it was read."""
        self._health.pop(_WAITING, None)
        session = self._session
        if session is not None and session.caught_up:
            await self._call(self._decide)
        for item in await self._call(self._book.decisions.outbox):
            await self._publisher.send(item)
            await self._call(self._book.decisions.acknowledged, item.record)
            self._metrics.alerts.labels(item.record.detector).inc()
            _LOG.warning("alert %s %s %s", item.record.detector, item.record.state, item.record.alert_id)

    def _decide(self) -> None:
        seen = self._book.decide(self._settings, lambda record, evidence: traced(record, self._provider, evidence))
        self._metrics.verdict_lag.set(seen.lag_seconds)

    async def beats(self) -> None:
        """Leave a heartbeat and set the metrics, whatever Kafka does."""
        while True:
            await self._call(self._beat)
            await asyncio.sleep(_BEAT_SECONDS)

    def _beat(self) -> None:
        now = self._book.log_time()
        if now > self._log_time:
            self._log_time, self._advanced_at = now, time.time()
        session = self._session
        heartbeat = Heartbeat(
            wall_time=time.time(),
            log_time=now,
            advanced_at=self._advanced_at,
            silence_seconds=self._settings.silence_seconds,
            caught_up=session is not None and session.caught_up,
            lag=session.lag if session is not None else {},
        )
        self._book.decisions.beat(heartbeat)
        self._metrics.caught_up.set(heartbeat.caught_up)
        self._metrics.show(self._book.coverage(), now)
        if time.monotonic() > self._feedback_at:
            self._feedback_at = time.monotonic() + _FEEDBACK_SECONDS
            self._metrics.show_feedback(self._book.turned_away())
        if time.monotonic() > self._expire_at:
            self._expire_at = time.monotonic() + _EXPIRE_SECONDS
            self._book.expire()

    async def _call(self, work: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """Run `work` on the one thread that may touch the book."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)

    async def close(self) -> None:
        """Stop the producer and close the files."""
        await self._publisher.close()
        await self._call(self._book.close)
