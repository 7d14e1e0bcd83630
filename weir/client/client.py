"""The client: follow alerts and retraining events from any program.

::

    from weir import Client

    async for alert in Client().alerts(since="10m"):
        print(alert.severity, alert.summary)
"""

import contextlib
import re
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from stream.kafka.tail import Tail
from stream.settings import KafkaSettings
from stream.silences import LONGEST_SECONDS, Silences
from stream.wire import AlertRecord, RetrainingRecord, SilenceRecord, WireError, decode, event_type
from weir.errors import SettingsError, StackError
from weir.home.ports import load_ports
from weir.settings import Loaded, Settings, load_settings

__all__ = ["Alert", "Client", "DataRange", "Retraining", "Since", "effective_kafka", "parse_duration", "parse_since"]

Since = timedelta | datetime | str | None

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"\A\s*(\d+(?:\.\d+)?)\s*([smhd])\s*\Z")
_REMEMBERED = 100_000
ItemT = TypeVar("ItemT")


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert: a condition with an id that fires and resolves; times are seconds since the epoch, UTC.

    Parameters
    ----------
    state
        ``firing`` or ``resolved``.
    severity
        ``info``, ``warning`` or ``critical``.
    evidence
        Request ids, 20 at most; `evidence_total` says how many there are.
    trace_id
        The trace of the alert's own span.
    causation_ids
        The findings behind it.
    silenced
        An operator muted what it is about when it came to this state (``weir alerts silence``).
    feature
        What exactly it is about: a feature of a window, a source, a detector; "" where there is no more to say.
    runbook
        What to do now, in one sentence.
    principals
        The API keys behind the findings, each with how many are its.
    sentinels
        Of drift: whether the answers to Weir's fixed prompts changed too (``moved``, ``still``); "" where nothing is known of them.
    statistic, limit
        Of a windowed alert: where the statistic stands, and where its alarm begins; 0 for others.
    """

    alert_id: str
    state: str
    detector: str
    severity: str
    tenant: str
    model: str
    side: str
    opened_at: float
    resolved_at: float | None
    summary: str
    evidence: tuple[str, ...]
    evidence_total: int
    trace_id: str
    causation_ids: tuple[str, ...]
    silenced: bool = False
    feature: str = ""
    runbook: str = ""
    principals: dict[str, int] = {}
    statistic: float = 0.0
    limit: float = 0.0
    sentinels: str = ""


class DataRange(msgspec.Struct, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}):
    """Offsets of `topic` that a decision rests on, by partition; `first` inclusive, `last` exclusive (``from``, ``to`` in JSON)."""

    topic: str
    first: dict[str, int]
    last: dict[str, int]


class Retraining(msgspec.Struct, frozen=True, kw_only=True):
    """A retraining event.

    Parameters
    ----------
    state
        ``requested``, ``suppressed``, ``started``, ``completed``, ``promoted`` or ``rolled_back``.
    reason
        Why, in words; for ``suppressed`` the gate that said no.
    alert_ids
        The alerts behind it.
    data
        The log that it is about.
    at
        Seconds since the epoch, log time.
    """

    retraining_id: str
    state: str
    reason: str
    alert_ids: tuple[str, ...]
    data: DataRange | None
    tenant: str
    model: str
    at: float


def parse_since(since: Since, now: datetime | None = None) -> datetime | None:
    """Return the moment that `since` means: a duration before now (``10m``, ``2h``, ``1d``, a timedelta), or a moment.

    Raises
    ------
    SettingsError
        Text that is neither.
    """
    now = now or datetime.now(UTC)
    if isinstance(since, str):
        since = _read_since(since)
    if isinstance(since, timedelta):
        return now - since
    if since is not None and since.tzinfo is None:
        return since.astimezone()
    return since


def parse_duration(text: str) -> timedelta:
    """Return the duration that `text` means.

    Raises
    ------
    SettingsError
        It is none.
    """
    if match := _DURATION.match(text):
        with contextlib.suppress(OverflowError):
            return timedelta(**{_UNITS[match[2]]: float(match[1])})
    raise SettingsError(f"{text!r} is no duration (or one past all bounds); give one as 30s, 10m, 2h, 1d")


def _read_since(text: str) -> timedelta | datetime:
    if _DURATION.match(text):
        return parse_duration(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"{text!r} is no duration and no time; give one as 30s, 10m, 2h, 1d, or as 2026-01-31T12:00:00Z"
        ) from None


def effective_kafka(settings: Settings) -> KafkaSettings:
    """Return the Kafka settings with an address: the one that was given, or the local stack's.

    Raises
    ------
    StackError
        No stack has run in ``WEIR_HOME``, and no Kafka is named.
    """
    if settings.kafka.bootstrap_servers:
        return settings.kafka
    port = load_ports(settings.home).get("broker")
    if port is None:
        raise StackError(
            f"the stack in {settings.home} has no broker of its own; set WEIR_KAFKA__BOOTSTRAP_SERVERS to the one it uses"
        )
    return settings.kafka.model_copy(update={"bootstrap_servers": f"127.0.0.1:{port}"})


class Client:
    """Reads a stack's alerts and retraining events.

    Parameters
    ----------
    settings
        From :func:`weir.settings.load_settings`; read from ``weir.toml`` and the environment when left out.
    bootstrap_servers
        Kafka's address; the settings', or that of the local stack in ``WEIR_HOME``, when left out.
    topic_prefix
        Put before every topic's name; the settings' when left out.

    Raises
    ------
    SettingsError, StackError
        The settings cannot be read, or no stack has run here and no Kafka is named.
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
        """Yield alerts as their state changes, and one that fires on when its silence is over.

        Silenced alerts are yielded too, with :attr:`Alert.silenced` set. The stream ends its connection when the loop over it is left, and goes on by itself after a broker's restart.

        Parameters
        ----------
        since
            Where to begin: a timedelta or ``"10m"`` before now, or a moment. None: from now on, or from the beginning when
            not following.
        follow
            Go on for ever.
        updates
            Also yield records that change severity or evidence alone.

        Raises
        ------
        BrokerError
            No Kafka answers at the start.

        Examples
        --------
        >>> async for alert in Client().alerts(since="10m"):  # doctest: +SKIP
        ...     print(alert.alert_id, alert.state)
        """
        seen = _Changes(updates=updates)
        # No silence is longer, so that those are known which still hold at the beginning.
        return self._read(self._kafka.names.alerts, since, seen.alert, follow=follow, lookback_seconds=LONGEST_SECONDS)

    def retraining(self, since: Since = None, *, follow: bool = True) -> AsyncGenerator[Retraining, None]:
        """Yield retraining events; parameters and errors are those of :meth:`alerts`."""
        seen = _Changes()
        return self._read(self._kafka.names.retraining, since, seen.retraining, follow=follow)

    async def _read(
        self,
        topic: str,
        since: Since,
        told: Callable[[Any], ItemT | None],
        *,
        follow: bool,
        lookback_seconds: float = 0.0,
    ) -> AsyncGenerator[ItemT, None]:
        moment = parse_since(since)
        begin = moment.timestamp() if moment else None
        tail = Tail(self._kafka.client_options(), topic, since=begin, follow=follow, lookback_seconds=lookback_seconds)
        async with aclosing(tail.records()) as records:
            async for record in records:
                if tail.is_lookback(record) and event_type(record.headers) != SilenceRecord.event_type:
                    continue
                try:
                    event = decode(record.value, record.headers)
                except WireError:
                    continue  # a tombstone of the compacted topic, or what a later version wrote
                item = told(event.data)
                if item is not None:
                    yield item


class _Changes:
    """Tells a change from a repeat; remembers the newest 100,000 ids."""

    def __init__(self, *, updates: bool = False) -> None:
        self._updates = updates
        self._known: OrderedDict[str, tuple[str, int, bool]] = OrderedDict()
        self._silences = Silences()

    def alert(self, data: Any) -> Alert | None:
        """Return the alert where `data` is one whose state (or revision, if asked for) is new, or which is not muted any more."""
        if isinstance(data, SilenceRecord):
            self._silences.apply(data)
        if not isinstance(data, AlertRecord):
            return None
        state, revision, muted = self._known.get(data.alert_id, ("", -1, False))
        if data.revision < revision or (data.state, data.revision) == (state, revision):
            return None
        silenced = bool(self._silences.muting(data, data.at))
        self._remember(data.alert_id, (data.state, data.revision, silenced))
        if not self._updates and data.state == state and (silenced or not muted):
            return None
        return msgspec.structs.replace(_as(Alert, data), silenced=silenced)

    def retraining(self, data: Any) -> Retraining | None:
        """Return the retraining event where `data` is one that was not seen in this state."""
        if not isinstance(data, RetrainingRecord):
            return None
        known, *_ = self._known.get(data.retraining_id, ("", 0, False))
        self._remember(data.retraining_id, (data.state, 0, False))
        return _as(Retraining, data) if data.state != known else None

    def _remember(self, name: str, what: tuple[str, int, bool]) -> None:
        self._known[name] = what
        self._known.move_to_end(name)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _as(kind: type[ItemT], data: msgspec.Struct) -> ItemT:
    return msgspec.convert(data, kind, from_attributes=True)
