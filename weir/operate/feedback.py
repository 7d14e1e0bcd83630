"""Judgements of alerts: whether one was right, kept on weir.feedback as those of users are; by reference, never with text.

A user's judgement goes through the gateway (``POST /v1/feedback``); this is the reviewer's, who has no key of the tenant's.
"""

import secrets
import time

from aiokafka.structs import TopicPartition

from stream.errors import no_kafka
from stream.kafka.clients import BROKER_ERRORS, consumer_for, producer_for
from stream.kafka.log_reader import record_at
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.queries.reviews import REVIEW_LABELS
from stream.settings import KafkaSettings
from stream.wire import AlertRecord, Event, Feedback, canonical_time, encode, inference_key, partition_for
from weir.errors import NotFoundError, SettingsError

__all__ = ["REVIEW_LABELS", "judge", "judgement"]

_SOURCE = "weir/console"


def judgement(alert: AlertRecord, label: str, request_id: str, by: str) -> Feedback:
    """Return the word that `alert` was ``right`` or ``wrong``.

    Parameters
    ----------
    label
        One of :data:`stream.ledger.queries.reviews.REVIEW_LABELS`.
    request_id
        Of the alert's evidence; "" for the alert as a whole, which the first of its evidence stands for.
    by
        Who says so.

    Raises
    ------
    SettingsError
        Another label, or a request that is not of the evidence.
    NotFoundError
        The alert has no evidence: it is about Weir itself, and nothing learns from it.
    """
    if label not in REVIEW_LABELS:
        raise SettingsError(f"label {label!r} is none of: {', '.join(REVIEW_LABELS)}")
    if not alert.evidence:
        raise NotFoundError(
            f"alert {alert.alert_id} names no request, so there is nothing to judge; silence it instead"
        )
    if request_id and request_id not in alert.evidence:
        raise SettingsError(
            f"request {request_id!r} is not of the evidence of {alert.alert_id}; give one that is, or none"
        )
    return Feedback(
        request_id=request_id or alert.evidence[0],
        tenant=alert.tenant,
        principal=by,
        label=label,
        detector=alert.detector,
        alert_id=alert.alert_id,
    )


async def judge(kafka: KafkaSettings, reader: LedgerReader, data: Feedback) -> None:
    """Publish a judgement, and return once the broker has it.

    It is keyed like the request that it is about and goes to the same partition, as feedback through the gateway does; raises
    BrokerError where no Kafka answers.
    """
    try:
        await _publish(kafka, reader, data)
    except BROKER_ERRORS as error:
        raise no_kafka(kafka.bootstrap_servers) from error


async def _publish(kafka: KafkaSettings, reader: LedgerReader, data: Feedback) -> None:
    key, partition = await _place(kafka, reader, data)
    event = Event(
        id=f"{data.request_id}/feedback/{secrets.token_hex(8)}",
        source=_SOURCE,
        type=Feedback.event_type,
        time=canonical_time(time.time()),
        data=data,
        subject=data.request_id,
        correlationid=data.request_id,
        causationid=data.alert_id,
        partitionkey=key,
    )
    record = encode(event)
    async with producer_for(kafka.client_options()) as producer:
        await producer.send_and_wait(
            kafka.names.feedback, record.value, key=record.key, partition=partition, headers=list(record.headers)
        )


async def _place(kafka: KafkaSettings, reader: LedgerReader, data: Feedback) -> tuple[str, int]:
    """Return the key and the partition of the request's events: the key hashes its conversation, which the log alone knows."""
    story = reader.request(data.request_id)
    for place in story.events.locations if story is not None and story.events is not None else ():
        async with consumer_for(kafka.client_options()) as consumer:
            record = await record_at(consumer, TopicPartition(place.topic, place.partition), place.offset)
        if record is not None and record.key is not None:
            return record.key.decode(), place.partition
    key = inference_key(data.tenant, data.request_id)  # the log has forgotten it
    return key, partition_for(key, kafka.partitions)
