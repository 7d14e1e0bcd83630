"""The Faust app that score and watch are built on.

Faust's defaults bind a web server to every interface, create topics with Faust's own partition counts, and need a minute to notice a dead worker.
They also lose events (docs/design/traps.md, 1 to 10). One factory changes these defaults.
"""

import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, cast

import faust
from faust.types import TP
from yarl import URL

from stream.kafka.publisher import Publisher
from stream.runtime.table import AckedTable, Order, TableManager
from stream.runtime.transport import Consumer, Transport
from stream.settings import KafkaSettings
from stream.telemetry import STALLED

#: Longest time until a worker that joined before a topic existed gets the topic's partitions.
_METADATA_MS = 5_000
_SESSION_SECONDS = 10.0
_HEARTBEAT_SECONDS = 3.0
_REQUEST_SECONDS = 30.0
#: Faust fetches a backlog at once, and again when its agent has taken the last record, perhaps hours later. Meanwhile the worker
#: must not leave its group; the watchdog ends a worker that finishes nothing.
_POLL_SECONDS = 7 * 24 * 3600.0
_LOOP_STALL_SECONDS = 5.0
#: Largest number of events that wait in memory for an agent.
_BUFFER_EVENTS = 256
_MEBIBYTE = 1024 * 1024


class BaseApp(faust.App):
    """A Faust app that awaits its outputs, commits no offset past an unfinished record, and reports its health.

    `sources` has the partition count of each topic that the app reads or writes; the counts are checked before the
    start. `held` has, by topic, a function that returns the number of events that stay unacknowledged on purpose, until
    their time window closes; the watchdog does not count them as work. Each of `health_checks` returns the reason of a
    fault, or "" if there is none. Tasks of `background` start before the app has partitions, and end the worker if they
    fail. `closers` are awaited after the app stops.
    """

    kafka: KafkaSettings

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sources: dict[str, int] = {}
        self.publisher = Publisher(lambda: self.producer)
        self.held: dict[str, Callable[[], int]] = {}
        self.health_checks: dict[str, Callable[[], str]] = {}
        self.background: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self.closers: list[Callable[[], Awaitable[None]]] = []
        self.watchdog_seconds = 60.0
        self._progress: Counter[str] = Counter()
        self._beat: float | None = None

    def raw_topic(self, *names: str, partitions: int) -> Any:
        """Return a channel of raw bytes from existing topics, each of which has `partitions` partitions."""
        self.sources |= dict.fromkeys(names, partitions)
        return self.topic(
            *names,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            partitions=partitions,
            internal=False,
            allow_empty=True,
        )

    def raw_table(self, name: str, partitions: int, order: Order | None = None) -> AckedTable:
        """Return an :class:`AckedTable`; `partitions` must be the partition count of the topic that is read."""
        table = cast(AckedTable, self.Table(name, key_type=bytes, value_type=bytes, partitions=partitions))
        table.order = order or table.order
        return table

    @property
    def acked_consumer(self) -> Consumer:
        """The app's consumer, which has an ack tracker."""
        return cast(Consumer, self.consumer)

    @property
    def started_consumer(self) -> Consumer | None:
        """The app's consumer, or None before the app has created it."""
        return cast(Consumer | None, self._consumer)

    def acknowledge(self, event: Any) -> bool:
        """Allow a commit past `event`. Call it after the event's outputs are acknowledged and its state is stored."""
        event.ack()
        self.progress(event.message.topic)
        return bool(self.acked_consumer.acknowledge(event.message))

    def is_current(self, event: Any) -> bool:
        """Whether `event` was fetched under the current partition assignment.

        If not, the caller must drop the event, because Kafka delivers it to the partition's present owner.
        """
        message = event.message
        return bool(self.acked_consumer.tracker.owns(TP(message.topic, message.partition), message.generation_id))

    def progress(self, topic: str = "") -> None:
        """Count a finished piece of work for the watchdog.

        The work belongs to `topic`, or to all topics if `topic` is "", for example a part of a state that was read.
        """
        self._progress[topic] += 1

    def progress_of(self, topic: str) -> int:
        """Return the number of finished pieces of work that belong to `topic` or to all topics; "" means all pieces."""
        return self._progress[topic] + self._progress[""] if topic else self._progress.total()

    def lag(self) -> dict[TP, int]:
        """Return {assigned partition: number of records from its committable offset to its end at the last fetch}."""
        consumer = self.started_consumer
        if consumer is None:
            return {}
        lags = {}
        for tp in consumer.tracker.partitions:
            position, end = consumer.tracker.position(tp), consumer.highwater(tp)
            if position is not None and end is not None and self.topics.acks_enabled_for(tp.topic):
                lags[tp] = max(0, end - position)
        return lags

    def health(self) -> dict[str, object]:
        """Return {subject: reason} of every fault; callable from any thread.

        Before the start, the only reason is that the worker waits for Kafka: a restart does not help, and nothing else can be ready.
        """
        if self._beat is None:
            return {"waiting for kafka": "not started: no broker answers, or a topic is missing; see the log"}
        reasons: dict[str, object] = {}
        if (silent := time.monotonic() - self._beat) > _LOOP_STALL_SECONDS:
            reasons[STALLED] = f"no heartbeat for {silent:.0f} s, bound {_LOOP_STALL_SECONDS:.0f} s"
        elif (consumer := self.started_consumer) is None or consumer.tracker.generation is None:
            reasons["consumer"] = "no partitions assigned yet"
        reasons |= {name: reason for name, check in self.health_checks.items() if (reason := check())}
        return reasons

    def beat(self) -> None:
        """Record that the event loop runs, for :meth:`health`."""
        self._beat = time.monotonic()

    async def on_start(self) -> None:
        """Start the background tasks."""
        await super().on_start()
        for task in self.background:
            self.add_future(task())

    async def on_stop(self) -> None:
        """Stop the app, then await the closers."""
        await super().on_stop()
        for close in self.closers:
            await close()

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Transport:
        return Transport(self.conf.broker_producer, self)


def create_base_app(app_id: str, kafka: KafkaSettings, *, data_dir: Path) -> BaseApp:
    """Return an app without agents, in consumer group `app_id`. No other worker may use `data_dir`."""
    app = BaseApp(app_id, **(_FAUST_SETTINGS | _connection(kafka) | {"datadir": data_dir}))
    app.kafka = kafka
    return app


_FAUST_SETTINGS: dict[str, Any] = {
    "broker_session_timeout": _SESSION_SECONDS,
    "broker_rebalance_timeout": _SESSION_SECONDS,
    "broker_heartbeat_interval": _HEARTBEAT_SECONDS,
    "broker_request_timeout": _REQUEST_SECONDS,
    "broker_commit_interval": 1.0,
    "broker_max_poll_interval": _POLL_SECONDS,
    "producer_request_timeout": _REQUEST_SECONDS,
    "producer_acks": -1,
    "producer_linger": 0.002,
    "producer_max_request_size": 2 * _MEBIBYTE,
    "consumer_max_fetch_size": 4 * _MEBIBYTE,
    "consumer_auto_offset_reset": "earliest",
    "consumer_metadata_max_age_ms": _METADATA_MS,
    "stream_wait_empty": False,
    "stream_buffer_maxsize": _BUFFER_EVENTS,
    "agent_supervisor": "mode.CrashingSupervisor",
    "topic_disable_leader": True,
    "key_serializer": "raw",
    "value_serializer": "raw",
    "store": "memory://",
    "Table": AckedTable,
    "TableManager": TableManager,
    "web_enabled": False,
    "worker_redirect_stdouts": False,
}


def _connection(kafka: KafkaSettings) -> dict[str, Any]:
    servers = [URL(f"kafka://{server.strip()}") for server in kafka.bootstrap_servers.split(",")]
    return {"broker": servers, "broker_credentials": _credentials(kafka.client_options())}


def _credentials(options: Mapping[str, Any]) -> Any:
    context: ssl.SSLContext | None = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            ssl_context=context,
            mechanism=options["sasl_mechanism"],
        )
    return faust.SSLCredentials(context) if context is not None else None
