"""The ledger's process: reads the log into the store, writes a heartbeat once per second, raises alerts about Weir.

A session is one consumer over all partitions. It ends when Kafka is unavailable, when no record arrives although the
log grows, or when a rebuild is requested. The next session starts at the stored offsets.
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

from stream.errors import LogExpired, ReaderStalled, TopicMismatch, TopicMissing, kafka_problem
from stream.kafka.clients import BROKER_ERRORS, producer_for
from stream.ledger.alert_publisher import publish_alert, with_span
from stream.ledger.consumer_session import LogReset, Session
from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import Heartbeat
from stream.ledger.metrics import LedgerMetrics
from stream.ledger.store import LedgerStore
from stream.ledger.time_share import TimeShare
from stream.settings import KafkaSettings, LedgerSettings, TenantSettings

_LOG = logging.getLogger(__name__)
_BEAT_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_EXPIRE_SECONDS = 300.0
_EXPIRE_AT_ONCE_SECONDS = 0.2
_EXPIRE_SHARE = 0.2
_FEEDBACK_SECONDS = 15.0
#: The gauges of coverage are set with each heartbeat, unless that needs more than this share of the time: with many tenants, a
#: week of coverage has millions of rows.
_COVERAGE_SHARE = 0.05
_WAITING, _NO_TOPICS = "waiting for kafka", "waiting for topics"
ResultT = TypeVar("ResultT")


async def run_ledger(  # noqa: PLR0913 - the arguments of every component
    *,
    directory: Path,
    kafka: KafkaSettings,
    ledger: LedgerSettings,
    registry: CollectorRegistry,
    tracer_provider: TracerProvider,
    stop: asyncio.Event,
    health: dict[str, Any],
    tenants: Callable[[str], TenantSettings] = lambda _tenant: TenantSettings(),
) -> None:
    """Run the ledger in `directory` until `stop` is set; raises LedgerBusy if another process has the lock.

    Files with another schema version are rebuilt from the log. `health` receives {problem: reason}; if the problem's
    name starts with ``waiting``, a restart does not help.
    """
    files = LedgerFiles(directory)
    with files.lock():
        metrics = LedgerMetrics(registry)
        service = _Service(
            files, kafka, ledger, tenants=tenants, metrics=metrics, provider=tracer_provider, health=health
        )
        beats = asyncio.create_task(service.beats())
        try:
            while not stop.is_set():
                await service.run_session(lambda: stop.is_set() or beats.done())
                if beats.done():
                    beats.result()  # raises: without writable files the process must restart
        finally:
            beats.cancel()
            await asyncio.gather(beats, return_exceptions=True)
            await service.close()


class EventTimeProgress:
    """The last event time, and when it changed. A step of the clock does not change how long ago that was."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._changed = monotonic()
        self.log_time = 0.0

    def beat(self, log_time: float) -> tuple[float, float]:
        """Return the clock time, and the clock time at which event time, now `log_time`, last changed (both in seconds)."""
        now = self._monotonic()
        if log_time != self.log_time:  # it can decrease when a source whose clock was ahead is closed
            self.log_time, self._changed = log_time, now
        wall = self._wall()
        return wall, wall - (now - self._changed)


class _Service:
    def __init__(  # noqa: PLR0913 - the arguments of run_ledger
        self,
        files: LedgerFiles,
        kafka: KafkaSettings,
        settings: LedgerSettings,
        *,
        tenants: Callable[[str], TenantSettings],
        metrics: LedgerMetrics,
        provider: TracerProvider,
        health: dict[str, Any],
    ) -> None:
        self._files = files
        self._kafka = kafka
        self._settings = settings
        self._tenants = tenants
        self._metrics = metrics
        self._provider = provider
        self._health = health
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._session: Session | None = None
        self._progress = EventTimeProgress()
        self._expire_at = time.monotonic() + _EXPIRE_SECONDS
        self._feedback_at = time.monotonic()
        self._coverage_time = TimeShare(_COVERAGE_SHARE)
        self._expire_time = TimeShare(_EXPIRE_SHARE)
        if stale := files.other_version():
            _LOG.warning("%s is damaged or of another version; the ledger is rebuilt from the log", stale)
            files.delete()
        self._store = self._open()

    def _open(self) -> LedgerStore:
        retention = self._kafka.retention_hours * 3600
        kafka, unstored = self._kafka, self._metrics.unstored.inc
        return LedgerStore(
            self._files, kafka.names, kafka.partitions, retention, unstored=unstored, tenants=self._tenants
        )

    async def run_session(self, ended: Callable[[], bool]) -> None:
        """Read until `ended()` is true, Kafka fails, or a rebuild is requested."""
        if self._files.rebuild_requested():
            await self._rebuild("it was requested")
        self._session = Session(self._kafka, self._metrics, self._call, self._store)
        try:
            await self._session.run(
                until=lambda: ended() or self._files.rebuild_requested(),
                topics_checked=self._topics_checked,
                probed=self._probed,
            )
        except LogReset as reset:
            await self._rebuild(str(reset))
        except (LogExpired, ReaderStalled) as stalled:
            _LOG.warning("%s; a new consumer starts", stalled)
        except (TopicMismatch, TopicMissing) as error:
            self._health[_NO_TOPICS] = str(error)
            await asyncio.sleep(_RETRY_SECONDS)
        except BROKER_ERRORS as error:
            self._wait_for_kafka(error)
            await asyncio.sleep(_RETRY_SECONDS)
        finally:
            self._session = None

    def _topics_checked(self) -> None:
        """Delete the files of partitions that do not exist."""
        self._health.pop(_NO_TOPICS, None)
        for surplus in self._files.delete_surplus(self._kafka.partitions):
            _LOG.warning(
                "%s is deleted: its partition does not exist, because [kafka] partitions is %d",
                surplus,
                self._kafka.partitions,
            )

    def _wait_for_kafka(self, error: BaseException) -> None:
        reason = kafka_problem(self._kafka.bootstrap_servers, error)
        if self._health.get(_WAITING) != reason:
            _LOG.warning("%s; the ledger waits for it", reason)
        self._health[_WAITING] = reason

    async def _rebuild(self, reason: str) -> None:
        _LOG.warning("the ledger is rebuilt from the log: %s", reason)
        await self._call(self._reopen)
        self._metrics.rebuilds.inc()

    def _reopen(self) -> None:
        """Close, delete and open the files in one call, so that no heartbeat is written to closed files."""
        self._store.close()
        self._files.delete()
        self._store = self._open()
        self._progress.log_time = 0.0

    async def _probed(self) -> None:
        """Decide about alerts if the log was read to its end. Then always publish the alerts in the outbox."""
        self._health.pop(_WAITING, None)
        session = self._session
        if session is not None and session.caught_up:
            await self._call(self._decide)
        if not (alerts := await self._call(self._store.decisions.outbox)):
            return
        async with producer_for(self._kafka.client_options()) as producer:
            for alert in alerts:
                record = alert.record
                await publish_alert(producer, alert, self._kafka)
                await self._call(self._store.decisions.acknowledged, record)
                self._metrics.alerts.labels(record.detector).inc()
                level = logging.WARNING if record.state == "firing" else logging.INFO
                _LOG.log(level, "alert %s %s: %s, %s", record.alert_id, record.state, record.detector, record.summary)

    def _decide(self) -> None:
        observation = self._store.decide(
            self._settings, lambda record, evidence: with_span(record, self._provider, evidence)
        )
        self._metrics.verdict_lag.set(observation.lag_seconds)

    async def beats(self) -> None:
        """Write heartbeats and set the metrics, independently of Kafka."""
        while True:
            await self._call(self._beat)
            await asyncio.sleep(_BEAT_SECONDS)

    def _beat(self) -> None:
        now = self._store.log_time()
        wall_time, advanced_at = self._progress.beat(now)
        session = self._session
        heartbeat = Heartbeat(
            wall_time=wall_time,
            log_time=now,
            advanced_at=advanced_at,
            silence_seconds=self._settings.silence_seconds,
            caught_up=session is not None and session.caught_up,
            lag=session.lag if session is not None else {},
        )
        self._store.decisions.beat(heartbeat)
        self._metrics.caught_up.set(heartbeat.caught_up)
        self._coverage_time.run(lambda: self._metrics.show(self._store.coverage()))
        if time.monotonic() > self._feedback_at:
            self._feedback_at = time.monotonic() + _FEEDBACK_SECONDS
            self._metrics.show_feedback(self._store.rejected_feedback())
        if time.monotonic() > self._expire_at:
            self._expire_time.run(self._expire)

    def _expire(self) -> None:
        """Delete expired rows for a short time; then wait until the next heartbeat, or longer if none are left."""
        ends = time.monotonic() + _EXPIRE_AT_ONCE_SECONDS
        while time.monotonic() < ends:
            if not self._store.expire():
                self._expire_at = time.monotonic() + _EXPIRE_SECONDS
                return

    async def _call(self, work: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """Run `work` on the one thread that uses the store."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)

    async def close(self) -> None:
        """Close the files."""
        await self._call(self._store.close)
        self._executor.shutdown()
