"""Create, end and list silences, which are records on the topic weir.alerts, like the alerts that they cover.

The topic has all alerts that ever fired, so a command reads the last 30 days, in which every silence in force was created, and decodes only silences
and its alert. :mod:`stream.silences` applies silences to alerts.
"""

import time
from contextlib import aclosing

import msgspec
from aiokafka.errors import TopicAuthorizationFailedError

from stream.errors import BrokerError, no_kafka
from stream.kafka.clients import BROKER_ERRORS, producer_for
from stream.kafka.publisher import publish
from stream.kafka.tail import Tail
from stream.settings import KafkaSettings
from stream.silences import LONGEST_SECONDS, SHORTEST_SECONDS, Silences, is_silence, silence_id_of
from stream.wire import AlertRecord, Event, SilenceRecord, canonical_time, format_time
from weir.client import parse_duration
from weir.errors import NotFoundError, SettingsError

SILENCE_SOURCE = "weir/cli"
_REASON_CHARACTERS = 500


class _AlertTopic:
    """The silences on weir.alerts that can be in force, and the newest record of one alert."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self.silences = Silences()
        self.alerts: dict[str, AlertRecord] = {}
        self.partitions: dict[str, int] = {}

    async def read(self, alert_id: str = "") -> "_AlertTopic":
        """Read the silences of the last 30 days, and alert `alert_id`; if it is older, read the whole topic."""
        await self._read(alert_id, time.time() - LONGEST_SECONDS)
        if alert_id and alert_id not in self.alerts and self.silences.newest(alert_id) is None:
            await self._read(alert_id, None)
        return self

    async def _read(self, alert_id: str, since: float | None) -> None:
        tail = Tail(self._kafka.client_options(), self._kafka.names.alerts, since=since, follow=False)
        key = alert_id.encode()
        async with aclosing(tail.events(lambda record: record.key == key or is_silence(record.key))) as events:
            async for record, event in events:
                data = event.data
                if isinstance(data, SilenceRecord):
                    self.silences.apply(data)
                    self.partitions[data.silence_id] = record.partition
                elif isinstance(data, AlertRecord):
                    self._keep(data, record.partition)

    def _keep(self, alert: AlertRecord, partition: int) -> None:
        known = self.alerts.get(alert.alert_id)
        if known is None or alert.revision >= known.revision:
            self.alerts[alert.alert_id] = alert
            self.partitions[silence_id_of(alert)] = partition

    def alert(self, alert_id: str) -> AlertRecord:
        """Return the alert; raises NotFoundError."""
        if alert_id not in self.alerts:
            raise self.absent("alert", alert_id, "`weir alerts` prints ids")
        return self.alerts[alert_id]

    def absent(self, what: str, name: str, fix: str) -> NotFoundError:
        """Return the error for an id that the topic does not have."""
        return NotFoundError(
            f"no {what} {name!r} on {self._kafka.names.alerts} at {self._kafka.bootstrap_servers}; {fix}"
        )

    async def write(self, *records: SilenceRecord) -> None:
        """Publish silences to the partitions of their alerts, one after the other, and wait for the acknowledgements."""
        try:
            async with producer_for(self._kafka.client_options()) as producer:
                for data in records:
                    partition = self.partitions[data.silence_id]
                    await publish(producer, self._kafka.names.alerts, _event(data), partition=partition)
        except TopicAuthorizationFailedError:
            raise BrokerError(
                f"{self._kafka.sasl_username or 'this client'} may not write to {self._kafka.names.alerts}; use a user with the right "
                "to write (in deploy/: `operator`), or silence the alert in the console"
            ) from None
        except BROKER_ERRORS as error:
            raise no_kafka(self._kafka.bootstrap_servers, error) from error


async def silence(  # noqa: PLR0913 - what an operator states, and where
    kafka: KafkaSettings, alert_id: str, *, duration: str, reason: str, by: str, parameter: str = "--for"
) -> tuple[SilenceRecord, bool]:
    """Silence an alert for `duration` (``2h``) from now; return the silence, and whether the alert has resolved already.

    Raises NotFoundError or BrokerError, and SettingsError if `duration` or the length of `reason` is out of bounds; the
    error names `parameter`, with which the user states the duration.
    """
    seconds = _seconds(duration, parameter)
    _check_reason(reason)
    topic = await _AlertTopic(kafka).read(alert_id)
    alert = topic.alert(alert_id)
    at = _now(topic.silences.newest(silence_id_of(alert)))
    record = SilenceRecord(
        silence_id=silence_id_of(alert),
        alert_id=alert_id,
        tenant=alert.tenant,
        model=alert.model,
        side=alert.side,
        part=alert.part,
        model_version=alert.model_version,
        detector=alert.detector,
        feature=alert.feature,
        reason=reason.strip(),
        by=by,
        at=at,
        until=canonical_time(at + seconds),
    )
    await topic.write(record)
    return record, alert.state == "resolved"


async def unsilence(kafka: KafkaSettings, name: str, *, by: str) -> list[SilenceRecord]:
    """End the silence with id `name`, or all silences that cover the alert with id `name`; return the ended silences.

    Raises NotFoundError if there is no such alert or silence, or no silence in force covers it, or BrokerError if Kafka does not answer.
    """
    topic = await _AlertTopic(kafka).read(name)
    now = time.time()
    named = topic.silences.newest(name)
    held = [item for item in topic.silences.active(now) if item == named]
    if named is None and is_silence(name.encode()):
        raise topic.absent("silence", name, "`weir alerts silences` prints the ids of the silences in force")
    if named is None:
        held = topic.silences.muting(topic.alert(name), now)
    if not held:
        raise NotFoundError(f"no silence in force covers {name}; `weir alerts silences` lists them")
    ended = [_ended(item, by) for item in held]
    await topic.write(*ended)
    return held


async def list_silences(kafka: KafkaSettings) -> list[SilenceRecord]:
    """Return the silences in force, ordered by expiry; raises BrokerError."""
    topic = await _AlertTopic(kafka).read()
    return topic.silences.active(time.time())


def _seconds(duration: str, parameter: str) -> float:
    seconds = parse_duration(duration).total_seconds()
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise SettingsError(
            f"a duration of {duration} is out of bounds, {SHORTEST_SECONDS / 60:g}m to {LONGEST_SECONDS / 86_400:g}d; give {parameter} as "
            "30m, 2h or 7d, and silence the alert again later"
        )
    return seconds


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > _REASON_CHARACTERS:
        raise SettingsError(
            f"the reason has {len(reason.strip())} characters; give 1 to {_REASON_CHARACTERS}, for the next person on call"
        )


def _now(before: SilenceRecord | None) -> float:
    """Return the present time, but at least the time of the record `before`, which the new record replaces.

    The time of `before` is in the future if a machine whose clock is ahead wrote the record.
    """
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
