"""Publish reviews on the topic weir.feedback, which also has the feedback of users (``POST /v1/feedback``).

A review is a user's opinion whether an alert was right or wrong.
"""

import secrets
import time

from aiokafka.structs import TopicPartition

from stream.errors import no_kafka
from stream.kafka.clients import BROKER_ERRORS, consumer_for, producer_for
from stream.kafka.log_reader import record_at
from stream.kafka.publisher import publish
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.queries.reviews import REVIEW_LABELS
from stream.settings import KafkaSettings
from stream.wire import AlertRecord, Event, Feedback, canonical_time, inference_key, partition_for
from weir.errors import NotFoundError, SettingsError

__all__ = ["publish_review", "review_of"]

_SOURCE = "weir/console"


def review_of(alert: AlertRecord, label: str, request_id: str, by: str) -> Feedback:
    """Return a review of request `request_id`, which is evidence of the alert.

    If `request_id` is "", the review is of the whole alert, and contains the id of the first evidence request.

    Raises SettingsError if the label is unknown or the request is not in the evidence, and NotFoundError if the alert has no evidence
    because it is about Weir itself.
    """
    if label not in REVIEW_LABELS:
        raise SettingsError(f"label {label!r} is not one of {', '.join(REVIEW_LABELS)}")
    if not alert.evidence:
        raise NotFoundError(f"alert {alert.alert_id} has no request to review; silence it instead")
    if request_id and request_id not in alert.evidence:
        raise SettingsError(
            f"request {request_id!r} is not in the evidence of {alert.alert_id}; give a request that is, or none"
        )
    return Feedback(
        request_id=request_id or alert.evidence[0],
        tenant=alert.tenant,
        principal=by,
        label=label,
        detector=alert.detector,
        alert_id=alert.alert_id,
    )


async def publish_review(kafka: KafkaSettings, reader: LedgerReader, data: Feedback) -> None:
    """Publish a review with the key and partition of its request; wait for the acknowledgement; raises BrokerError."""
    try:
        key, partition = await _key_and_partition(kafka, reader, data)
        async with producer_for(kafka.client_options()) as producer:
            await publish(producer, kafka.names.feedback, _event(data, key), partition=partition)
    except BROKER_ERRORS as error:
        raise no_kafka(kafka.bootstrap_servers) from error


def _event(data: Feedback, key: str) -> Event:
    return Event(
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


async def _key_and_partition(kafka: KafkaSettings, reader: LedgerReader, data: Feedback) -> tuple[str, int]:
    """Return key (a hash of the conversation id) and partition of the request's record; compute both if the record has expired."""
    story = reader.request(data.request_id)
    for location in story.events.locations if story is not None and story.events is not None else ():
        async with consumer_for(kafka.client_options()) as consumer:
            record = await record_at(consumer, TopicPartition(location.topic, location.partition), location.offset)
        if record is not None and record.key is not None:
            return record.key.decode(), location.partition
    key = inference_key(data.tenant, data.request_id)  # the record has expired
    return key, partition_for(key, kafka.partitions)
