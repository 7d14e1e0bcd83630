"""The component ``delivery``: the only writer of routes.

Delivery reads ``weir.retraining``, ``weir.models``, ``weir.verdicts`` and ``weir.signals`` without a consumer group. For each decision it publishes
the request's state, then the route, then replaces ``routes.json``, then stores its state with the offsets that it has read. After a crash between two
of these steps, the next process reads the same records again: the log shows the published decisions, and equal decisions have equal ids. Without a
stored state, delivery continues from the newest routes.
"""

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord, TopicPartition
from opentelemetry.trace import Tracer, TracerProvider
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from stream.errors import (
    HomeFailed,
    LogExpired,
    StateUnreadable,
    StreamError,
    TopicMismatch,
    TopicMissing,
    kafka_problem,
)
from stream.files import FileLock, replace_file
from stream.kafka.clients import consumer_for, producer_for
from stream.kafka.log_reader import READ_ERRORS, LogReader, partitions_of
from stream.kafka.publisher import publish
from stream.kafka.time_ranges import produced_since
from stream.kafka.topic_checks import check_topics, partition_counts
from stream.loop.delivery.champions import ChampionAliases, ChampionCommand
from stream.loop.delivery.log_state import DeliveryLog
from stream.loop.delivery.metrics import DeliveryMetrics
from stream.loop.delivery.records import Decision, progress_event, route_event
from stream.loop.delivery.route_store import read_overrides, read_routes, remove_overrides, write_routes
from stream.loop.delivery.state import DeliveryState, decode
from stream.loop.settings import DeliverySettings, LoopSettings
from stream.loop.spans import mark_route, mark_state
from stream.section import by_tenant
from stream.settings import KafkaSettings
from stream.wire import Event, RetrainingRecord, RouteRecord, partition_for, readable

_LOG = logging.getLogger(__name__)
_WAITING, _NO_TOPICS, _NO_DISK = "waiting for kafka", "waiting for topics", "waiting for the disk"
_POLL_MS = 200
_PAUSE_SECONDS = 1.0
_STORE_SECONDS = 1.0
#: Verdicts wait for a source at most this share of `rollback_seconds`.
_WAIT_SHARE = 0.25
#: Rules that never promote a version, but do roll back a bad one.
_NO_PROMOTION = DeliverySettings(min_events=sys.maxsize)


def state_path(home: Path) -> Path:
    """Return the path of the stored state."""
    return home / "data" / "delivery" / "state.msgpack"


async def run_delivery(  # noqa: PLR0913 - the arguments of every component
    *,
    home: Path,
    kafka: KafkaSettings,
    tenants: Mapping[str, Mapping[str, Any]],
    registry: CollectorRegistry,
    tracer_provider: TracerProvider,
    stop: asyncio.Event,
    health: dict[str, Any],
    champion_command: ChampionCommand | None = None,
) -> None:
    """Decide about the routes of `home` until `stop` is set; raises StreamError if another process decides about them.

    `champion_command` moves the aliases of MLflow (:class:`ChampionAliases`); None means that there is no MLflow.
    `health` receives {problem: reason}; if the problem's name starts with ``waiting``, a restart does not help.
    """
    state_path(home).parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock.try_acquire(state_path(home).with_name("lock"))
    if lock is None:
        raise StreamError(f"another delivery process runs in {home}; stop it first, because only one may write routes")
    with lock:
        champions = ChampionAliases(champion_command)
        tracer = tracer_provider.get_tracer("weir.delivery")
        service = _Service(home, kafka, tenants, DeliveryMetrics(registry), tracer, champions, health)
        mirroring = asyncio.create_task(champions.run())
        try:
            await _sessions(service, kafka, stop, health)
        finally:
            mirroring.cancel()
            await asyncio.gather(mirroring, return_exceptions=True)


async def _sessions(service: "_Service", kafka: KafkaSettings, stop: asyncio.Event, health: dict[str, Any]) -> None:
    while not stop.is_set():
        try:
            await service.session(stop)
        except LogExpired:
            _LOG.warning(
                "verdicts expired before delivery read them; delivery continues with the oldest retained verdicts"
            )
        except READ_ERRORS as error:
            health[_WAITING] = f"{kafka_problem(kafka.bootstrap_servers, error)}; the routes do not change"
            await asyncio.sleep(_PAUSE_SECONDS)
        except (HomeFailed, TopicMismatch, TopicMissing) as error:
            health[_NO_DISK if isinstance(error, HomeFailed) else _NO_TOPICS] = str(error)
            await asyncio.sleep(_PAUSE_SECONDS)


@contextlib.contextmanager
def _own_files() -> Iterator[None]:
    """Raise HomeFailed for an error of a file: an OSError alone would be reported as one of Kafka."""
    try:
        yield
    except OSError as error:
        raise HomeFailed(
            f"{error.filename} cannot be read or written: {error.strerror}; free space on the disk, or correct its"
            " permissions; until then, the routes do not change"
        ) from error


class _Service:
    def __init__(  # noqa: PLR0913, PLR0917 - the parts of the component
        self,
        home: Path,
        kafka: KafkaSettings,
        tenants: Mapping[str, Mapping[str, Any]],
        metrics: DeliveryMetrics,
        tracer: Tracer,
        champions: ChampionAliases,
        health: dict[str, Any],
    ) -> None:
        self._home = home
        self._kafka = kafka
        self._metrics = metrics
        self._tracer = tracer
        self._champions = champions
        self._health = health
        self._loop = by_tenant(LoopSettings, tenants, "loop")
        self._settings = lru_cache(maxsize=10_000)(self._rules)
        every: list[DeliverySettings] = [self._settings(pattern) for pattern in ("", *tenants)]
        self._silence_seconds = min(one.rollback_seconds for one in every) * _WAIT_SHARE
        names = kafka.names
        self._topics = {
            names.retraining: kafka.stream_partitions,
            names.models: kafka.stream_partitions,
            names.verdicts: kafka.partitions,
            names.signals: kafka.stream_partitions,
        }
        self._store_at = 0.0

    def _rules(self, tenant: str) -> DeliverySettings:
        """Return the rules of a tenant; one tenant with invalid settings must not stop the delivery of the others."""
        try:
            return self._loop(tenant).delivery
        except ValidationError as error:
            reason = (
                f"the patterns of [tenants] that match tenant {tenant} are invalid together: {error}; correct them, and restart. "
                "Until then, new versions of this tenant stay in shadow"
            )
            _LOG.error("%s", reason)
            self._health[f"waiting for settings of tenant {tenant}"] = reason
            return _NO_PROMOTION

    async def session(self, stop: asyncio.Event) -> None:
        """Read until `stop` is set or Kafka fails; raises READ_ERRORS, HomeFailed, TopicMissing and TopicMismatch."""
        options = self._kafka.client_options()
        check_topics(self._topics, await partition_counts(options, self._topics))
        async with consumer_for(options, fetch_max_wait_ms=_POLL_MS) as consumer, producer_for(options) as producer:
            log = DeliveryLog(
                self._stored(),
                self._settings,
                partitions=self._kafka.partitions,
                signal_partitions=self._kafka.stream_partitions,
                silence_seconds=self._silence_seconds,
            )
            await self._catch_up(log, consumer)
            await self._finish(log, [], producer)
            for problem in (_WAITING, _NO_TOPICS, _NO_DISK):
                self._health.pop(problem, None)
            positions = await self._positions(log, consumer)
            # Also for partitions without a record: after a restart, they are read from this offset.
            for tp, offset in positions.items():
                log.state.offsets.setdefault(tp.topic, {})[tp.partition] = offset
            self._store(log)
            reader = LogReader(consumer, positions, poll_ms=_POLL_MS)
            while not stop.is_set():
                await self._orders(log, producer)
                for batch in (await reader.read()).values():
                    await self._take(log, batch, producer)
                self._metrics.lag.set(sum(max(0, end - reader.positions[tp]) for tp, end in reader.ends.items()))
                if time.monotonic() >= self._store_at:
                    self._restore_routes(log)
                    self._store(log)
            self._store(log)

    async def _take(self, log: DeliveryLog, batch: list[ConsumerRecord], producer: AIOKafkaProducer) -> None:
        """Apply the records of one partition; the state that is stored never has an offset without its record's effect."""
        for record in batch:
            event = readable(record.value, record.headers)
            signal_partition = record.partition if record.topic == self._kafka.names.signals else None
            decisions = log.apply(event, signal_partition) if event is not None else []
            log.state.offsets.setdefault(record.topic, {})[record.partition] = record.offset + 1
            if decisions:
                await self._finish(log, decisions, producer)
        self._metrics.verdicts.inc(log.counted)
        log.counted = 0

    async def _orders(self, log: DeliveryLog, producer: AIOKafkaProducer) -> None:
        """Publish the operators' decisions, then remove them from the file."""
        try:
            with _own_files():
                orders = read_overrides(self._home)
        except StreamError as error:
            self._health["overrides"] = str(error)
            return
        self._health.pop("overrides", None)
        if not orders:
            return
        for order in orders:
            await self._finish(log, log.override(order), producer)
        with _own_files():
            remove_overrides(self._home, orders)

    async def _finish(self, log: DeliveryLog, decisions: list[Decision], producer: AIOKafkaProducer) -> None:
        """Publish decisions, replace ``routes.json``, then store the state."""
        for decision in decisions:
            route, context, state = decision.route, decision.traceparent, "operator"
            if decision.progress is not None:
                state = decision.progress.state
                context = mark_state(self._tracer, decision.progress, context)
                progress = progress_event(decision.progress, route, context)
                await self._publish(producer, self._kafka.names.retraining, progress)
            context = mark_route(self._tracer, route, context)
            await self._publish(producer, self._kafka.names.models, route_event(route, context))
            self._metrics.decisions.labels(state).inc()
            _LOG.info("route of %s %s: epoch %d, %s, %s", route.tenant, route.model, route.epoch, state, route.weights)
        for route in log.routes:
            self._metrics.show(route)
        with _own_files():
            write_routes(self._home, log.routes)
        self._store(log)
        self._champions.show(log.routes)

    def _restore_routes(self, log: DeliveryLog) -> None:
        """Write ``routes.json`` again if the file was damaged, changed or deleted: gateways would keep old routes, or use the base version."""
        with _own_files():
            try:
                if read_routes(self._home) == tuple(log.routes):
                    return
                problem = "it was changed or deleted"
            except StreamError as error:
                problem = str(error)
            _LOG.warning("delivery writes the routes of %s again: %s", self._home, problem)
            write_routes(self._home, log.routes)

    async def _publish(self, producer: AIOKafkaProducer, topic: str, event: Event) -> None:
        partition = partition_for(event.partitionkey, self._kafka.stream_partitions)
        await publish(producer, topic, event, partition=partition)

    def _stored(self) -> DeliveryState:
        with _own_files():
            try:
                return decode(state_path(self._home).read_bytes())
            except FileNotFoundError:
                return DeliveryState()
            except StateUnreadable as error:
                _LOG.warning("%s; delivery continues from the published routes", error)
                return DeliveryState()

    def _store(self, log: DeliveryLog) -> None:
        with _own_files():
            replace_file(state_path(self._home), log.snapshot(), durable=True)
        self._store_at = time.monotonic() + _STORE_SECONDS

    async def _catch_up(self, log: DeliveryLog, consumer: AIOKafkaConsumer) -> None:
        """Adopt the published routes. Without a stored state, first learn which requests have ended.

        The records of versions are not applied here, because a removed version causes a decision, which must be published.
        """
        names = self._kafka.names
        if not log.state.offsets:
            async for event in self._whole(consumer, names.retraining):
                if isinstance(event.data, RetrainingRecord) and event.data.state != "blessed":
                    log.apply(event)
        async for event in self._whole(consumer, names.models):
            if isinstance(event.data, RouteRecord):
                log.apply(event)

    async def _whole(self, consumer: AIOKafkaConsumer, topic: str) -> AsyncIterator[Event]:
        tps = partitions_of({topic: self._topics[topic]})
        ends = await consumer.end_offsets(tps)
        reader = LogReader(consumer, await consumer.beginning_offsets(tps), poll_ms=_POLL_MS)
        while not reader.reached(ends):
            for batch in (await reader.read()).values():
                for record in batch:
                    event = readable(record.value, record.headers)
                    if event is not None:
                        yield event

    async def _positions(self, log: DeliveryLog, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        """Return {partition: next offset}: the stored offset; without it, verdicts and signals since the oldest canary, and all others."""
        tps = partitions_of(self._topics)
        first: dict[TopicPartition, int] = await consumer.beginning_offsets(tps)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(tps)
        judged = {self._kafka.names.verdicts, self._kafka.names.signals}
        verdicts = [tp for tp in tps if tp.topic in judged]
        canaries = [model.canary.since for model in log.state.models.values() if model.canary is not None]
        default = first | {tp: ends[tp] for tp in verdicts}
        if canaries and not log.state.offsets:
            default |= await produced_since(consumer, min(canaries), {tp: ends[tp] for tp in verdicts})
        stored = log.state.offsets

        def position(tp: TopicPartition) -> int:
            offset = stored.get(tp.topic, {}).get(tp.partition, default[tp])
            # A stored offset after the end is that of a topic that was deleted and created again.
            return max(offset if offset <= ends[tp] else default[tp], first[tp])

        return {tp: position(tp) for tp in tps}
