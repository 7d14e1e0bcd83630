"""Follow alerts and retraining events from any program.

::

    from weir import Client

    async for alert in Client().alerts(since="10m"):
        print(alert.severity, alert.summary)
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec

from stream.kafka.tail import Tail
from stream.remember import remember
from stream.settings import KafkaSettings
from stream.silences import LONGEST_SECONDS, Silences
from stream.wire import AlertRecord, RetrainingRecord, SilenceRecord
from weir.client.events import Alert, Retraining
from weir.client.times import Since, parse_since
from weir.errors import StackError
from weir.home.ports import load_ports
from weir.settings import Loaded, Settings, load_settings

#: Number of alerts and retraining events whose last state is kept to drop duplicates.
_REMEMBERED = 100_000
ItemT = TypeVar("ItemT")


def effective_kafka(settings: Settings) -> KafkaSettings:
    """Return the Kafka settings; if they contain no address, add the address of the local stack's broker.

    Raises StackError if the address is missing and there is no local stack or broker.
    """
    if settings.kafka.bootstrap_servers:
        return settings.kafka
    port = load_ports(settings.home).get("broker")
    if port is None:
        raise StackError(
            f"the stack in {settings.home} has no broker; set WEIR_KAFKA__BOOTSTRAP_SERVERS to the address of its Kafka"
        )
    return settings.kafka.model_copy(update={"bootstrap_servers": f"127.0.0.1:{port}"})


class Client:
    """Reads the alerts and retraining events of a stack.

    Parameters
    ----------
    settings
        From :func:`weir.settings.load_settings`; default: ``weir.toml`` and the environment.
    bootstrap_servers
        Address of Kafka; default: from the settings, or the local stack in ``WEIR_HOME``.
    topic_prefix
        Prefix of every topic name; default: from the settings.

    Raises
    ------
    SettingsError
        The settings cannot be read or are invalid.
    StackError
        No address of Kafka is set, and there is no local stack with a broker.
    """

    def __init__(
        self,
        settings: Loaded | None = None,
        bootstrap_servers: str | None = None,
        topic_prefix: str | None = None,
    ) -> None:
        given = {"bootstrap_servers": bootstrap_servers, "topic_prefix": topic_prefix}
        loaded = (settings or load_settings()).settings
        kafka = loaded.kafka.model_copy(update={name: value for name, value in given.items() if value is not None})
        self._kafka = effective_kafka(loaded.model_copy(update={"kafka": kafka}))

    def alerts(self, since: Since = None, *, follow: bool = True, updates: bool = False) -> AsyncGenerator[Alert, None]:
        """Yield an alert when its state changes, and when it is firing and has a further feature or its silence ends.

        :attr:`Alert.silenced` is true for a silenced alert. The stream resumes after a broker restart; a warning is logged when an
        outage begins and when it ends. To leave the loop early, close the stream:
        ``async with contextlib.aclosing(client.alerts()) as alerts``. A cancelled ``anext(alerts)`` ends the stream, also if
        ``asyncio.wait_for`` cancels it; to wait with a time limit, wait for a task: ``asyncio.wait({task}, timeout=60)``.

        Parameters
        ----------
        since
            Start of the stream: a time, or a duration before now (a timedelta or ``"10m"``). None: now if `follow` is
            true, else the start of the log.
        follow
            Whether to wait for new alerts at the end of the log.
        updates
            Whether to yield also changes of severity and evidence.

        Raises
        ------
        stream.errors.BrokerError
            Kafka does not answer when the stream starts.

        Examples
        --------
        >>> async for alert in Client().alerts(since="10m"):  # doctest: +SKIP
        ...     print(alert.alert_id, alert.state)
        """
        changes = _ChangeFilter(updates=updates)
        # Silences in force at the start are at most this old. Alerts of this period are read too, so their updates are not new firings.
        return self._read(
            self._kafka.names.alerts, since, changes.alert, follow=follow, lookback_seconds=LONGEST_SECONDS
        )

    def retraining(self, since: Since = None, *, follow: bool = True) -> AsyncGenerator[Retraining, None]:
        """Yield retraining events; `since`, `follow` and the errors are as in :meth:`alerts`."""
        changes = _ChangeFilter()
        return self._read(self._kafka.names.retraining, since, changes.retraining, follow=follow)

    async def _read(
        self,
        topic: str,
        since: Since,
        select: Callable[[Any, float | None], ItemT | None],
        *,
        follow: bool,
        lookback_seconds: float = 0.0,
    ) -> AsyncGenerator[ItemT, None]:
        start = parse_since(since)
        begin = start.timestamp() if start else None
        tail = Tail(self._kafka.client_options(), topic, since=begin, follow=follow, lookback_seconds=lookback_seconds)
        async with aclosing(tail.events()) as events:
            async for record, event in events:
                item = select(event.data, begin)
                if item is not None and not tail.is_lookback(record):
                    yield item


class _ChangeFilter:
    """Drops duplicates and, unless `updates` is true, also changes of severity and evidence (but no further feature)."""

    def __init__(self, *, updates: bool = False) -> None:
        self._updates = updates
        self._known: OrderedDict[str, tuple[str, int, bool, int]] = OrderedDict()
        self._silences = Silences()

    def alert(self, data: Any, begin: float | None = None) -> Alert | None:
        """Return the alert if its state or the number of its features is new, its silence has ended, or (with `updates`) its revision is new.

        `begin` is the start of the stream, or None. Compaction can remove the record of a firing before `begin`; a later
        record of this alert is then an update, not a firing.
        """
        if isinstance(data, SilenceRecord):
            self._silences.apply(data)
        if not isinstance(data, AlertRecord):
            return None
        features = len(data.features)
        state, revision, was_silenced, known_features = self._known.get(data.alert_id, ("", -1, False, features))
        if data.revision < revision or (data.state, data.revision) == (state, revision):
            return None
        silenced = bool(self._silences.muting(data, data.at))
        remember(self._known, data.alert_id, (data.state, data.revision, silenced, features), _REMEMBERED)
        if not state and data.state == "firing" and data.revision and begin is not None and data.opened_at < begin:
            state = "firing"
        news = not silenced and (was_silenced or features > known_features)
        if not self._updates and data.state == state and not news:
            return None
        fired = data.state == "firing" and data.state != state
        at = data.opened_at if fired else data.resolved_at or data.at
        return msgspec.structs.replace(_as(Alert, data), silenced=silenced, at=at)

    def retraining(self, data: Any, _begin: float | None = None) -> Retraining | None:
        """Return the retraining event if its state is new, or if it is progress.

        A stage that restarts can publish an earlier state again, after later states. Such a record has the same time.
        """
        if not isinstance(data, RetrainingRecord):
            return None
        newest, *_ = self._known.get(data.retraining_id, ("", 0, False, 0))
        name = f"{data.retraining_id} {data.state} {data.at}"
        if data.state != "progress":
            if data.state == newest or name in self._known:
                return None
            remember(self._known, name, (data.state, 0, False, 0), _REMEMBERED)
        remember(self._known, data.retraining_id, (data.state, 0, False, 0), _REMEMBERED)
        return _as(Retraining, data)


def _as(kind: type[ItemT], data: msgspec.Struct) -> ItemT:
    return msgspec.convert(data, kind, from_attributes=True)
