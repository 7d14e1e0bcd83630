"""Silences: an operator mutes what an alert is about, for a while; kept on weir.alerts, so that every reader knows of it.

The log alone is asked and written: the alert that is named, and the silences that hold, are read from the topic, which compaction
keeps short. What a silence does to an alert is :mod:`stream.silences`.
"""

import time
from contextlib import aclosing

import msgspec
from aiokafka.errors import TopicAuthorizationFailedError

from stream.errors import BrokerError, no_kafka
from stream.kafka.clients import BROKER_ERRORS, producer_for
from stream.kafka.tail import Tail
from stream.settings import KafkaSettings
from stream.silences import LONGEST_SECONDS, SHORTEST_SECONDS, Silences, thing_of
from stream.wire import AlertRecord, Event, SilenceRecord, WireError, canonical_time, decode, encode, format_time
from weir.errors import NotFoundError, SettingsError

__all__ = ["SILENCE_SOURCE", "Silence", "list_silences", "silence", "unsilence"]

SILENCE_SOURCE = "weir/cli"
_REASON_CHARACTERS = 500


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """A silence; times are seconds since the epoch, UTC.

    Parameters
    ----------
    silence_id
        Of what is muted: (tenant, model, side, detector, feature). A later silence of the same replaces this one.
    alert_id
        The alert that it was made from; muted too where its feature changes.
    by
        The operating system's user who made it.
    at, until
        What came about in between (`until` excluded) is not told; equal where the silence was ended.
    """

    silence_id: str
    alert_id: str
    tenant: str
    model: str
    side: str
    detector: str
    feature: str
    reason: str
    by: str
    at: float
    until: float


class _Topic:
    """What weir.alerts holds of one alert, and of silences."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self.silences = Silences()
        self.alerts: dict[str, AlertRecord] = {}
        self.partitions: dict[str, int] = {}

    async def read(self, alert_id: str = "") -> "_Topic":
        """Read the topic to its end."""
        tail = Tail(self._kafka.client_options(), self._kafka.names.alerts, follow=False)
        async with aclosing(tail.records()) as records:
            async for record in records:
                try:
                    data = decode(record.value, record.headers).data
                except WireError:
                    continue
                if isinstance(data, SilenceRecord):
                    self.silences.apply(data)
                    self.partitions[data.silence_id] = record.partition
                elif isinstance(data, AlertRecord) and data.alert_id == alert_id:
                    self._keep(data, record.partition)
        return self

    def _keep(self, alert: AlertRecord, partition: int) -> None:
        known = self.alerts.get(alert.alert_id)
        if known is None or alert.revision >= known.revision:
            self.alerts[alert.alert_id] = alert
            self.partitions[thing_of(alert)] = partition

    def alert(self, alert_id: str) -> AlertRecord:
        """Return the alert that was looked for, or raise NotFoundError."""
        if alert_id not in self.alerts:
            raise NotFoundError(
                f"no alert {alert_id!r} on {self._kafka.names.alerts} at {self._kafka.bootstrap_servers}; `weir alerts` prints "
                "the ids"
            )
        return self.alerts[alert_id]

    async def write(self, *records: SilenceRecord) -> None:
        """Publish beside the alerts that are muted: one partition, so that order is given."""
        try:
            async with producer_for(self._kafka.client_options()) as producer:
                for data in records:
                    record = encode(_event(data))
                    await producer.send_and_wait(
                        self._kafka.names.alerts,
                        record.value,
                        key=record.key,
                        partition=self.partitions[data.silence_id],
                        headers=list(record.headers),
                    )
        except TopicAuthorizationFailedError:
            raise BrokerError(
                f"{self._kafka.sasl_username or 'this client'} may not write to {self._kafka.names.alerts}; come as who may (in"
                " deploy/ the user `operator`), or silence it in the console"
            ) from None
        except BROKER_ERRORS as error:
            raise no_kafka(self._kafka.bootstrap_servers) from error


async def silence(kafka: KafkaSettings, alert_id: str, *, seconds: float, reason: str, by: str) -> tuple[Silence, bool]:
    """Mute what alert `alert_id` is about for `seconds` from now; return the silence, and whether the alert is resolved.

    A resolved one is accepted: what comes and goes is muted before it comes again.

    Raises
    ------
    SettingsError
        `seconds` is out of bounds, or `reason` is empty or too long.
    NotFoundError
        The log holds no such alert.
    BrokerError
        No Kafka answers.
    """
    _check(seconds, reason)
    topic = await _Topic(kafka).read(alert_id)
    alert = topic.alert(alert_id)
    at = _now(topic.silences.newest(thing_of(alert)))
    record = SilenceRecord(
        silence_id=thing_of(alert),
        alert_id=alert_id,
        tenant=alert.tenant,
        model=alert.model,
        side=alert.side,
        detector=alert.detector,
        feature=alert.feature,
        reason=reason.strip(),
        by=by,
        at=at,
        until=canonical_time(at + seconds),
    )
    await topic.write(record)
    return _shown(record), alert.state == "resolved"


async def unsilence(kafka: KafkaSettings, name: str, *, by: str) -> list[Silence]:
    """End the silences that `name` stands for, an alert's id or a silence's, and return them as they were.

    Raises
    ------
    NotFoundError
        The log holds no such alert, or nothing mutes it now.
    BrokerError
        No Kafka answers.
    """
    topic = await _Topic(kafka).read(name)
    now = time.time()
    named = topic.silences.newest(name)
    held = [item for item in topic.silences.active(now) if item == named]
    if named is None:
        held = topic.silences.muting(topic.alert(name), now)
    if not held:
        raise NotFoundError(f"nothing silences {name} now; `weir alerts silences` lists what is silenced")
    ended = [_ended(item, by) for item in held]
    await topic.write(*ended)
    return [_shown(item) for item in held]


async def list_silences(kafka: KafkaSettings) -> list[Silence]:
    """Return the silences that hold now, the one that ends first first; raises BrokerError where no Kafka answers."""
    topic = await _Topic(kafka).read()
    return [_shown(record) for record in topic.silences.active(time.time())]


def _check(seconds: float, reason: str) -> None:
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise SettingsError(
            f"a silence of {seconds:g} s; it lasts from {SHORTEST_SECONDS / 60:g}m to {LONGEST_SECONDS / 86_400:g}d: give "
            "--for as 30m, 2h, 7d, and silence again when it is over"
        )
    if not reason.strip() or len(reason) > _REASON_CHARACTERS:
        raise SettingsError(
            f"a reason of {len(reason.strip())} characters; give one of 1 to {_REASON_CHARACTERS}: the next one on call reads it"
        )


def _now(before: SilenceRecord | None) -> float:
    """Return the moment; never before that of the record which is replaced, whatever another machine's clock said."""
    return canonical_time(max(time.time(), before.at if before is not None else 0.0))


def _ended(record: SilenceRecord, by: str) -> SilenceRecord:
    now = _now(record)
    return msgspec.structs.replace(record, at=now, until=now, by=by)


def _event(data: SilenceRecord) -> Event:
    return Event(
        id=f"{data.silence_id}/{format_time(data.at)}",
        source=SILENCE_SOURCE,
        type=SilenceRecord.event_type,
        time=data.at,
        data=data,
        subject=data.silence_id,
        causationid=data.alert_id,
        partitionkey=data.silence_id,
    )


def _shown(record: SilenceRecord) -> Silence:
    return msgspec.convert(record, Silence, from_attributes=True)
