"""Publish reviews: of alerts (right or wrong) on weir.feedback, and of answers (approved, or a better one) on weir.inference.

Both topics also have the feedback of users (``POST /v1/feedback``).
"""

import secrets
import time

from aiokafka.structs import TopicPartition

from serving.openai_api.feedback import COMMENT_BYTES, CORRECTION_BYTES
from stream.kafka.clients import consumer_for, needs_kafka, producer_for
from stream.kafka.log_reader import record_at
from stream.kafka.publisher import publish
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.queries.request_story import RequestStory
from stream.ledger.queries.reviews import REVIEW_LABELS
from stream.settings import KafkaSettings
from stream.wire import AlertRecord, CorrectionRecord, Event, Feedback, canonical_time, inference_key, partition_for
from weir.errors import NotFoundError, SettingsError

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
            f"request {request_id!r} is not in the evidence of {alert.alert_id}; give a request of its evidence, or leave request_id out"
        )
    return Feedback(
        request_id=request_id or alert.evidence[0],
        tenant=alert.tenant,
        principal=by,
        label=label,
        detector=alert.detector,
        alert_id=alert.alert_id,
    )


def correction_of(story: RequestStory, *, answer: str, comment: str, approved: bool, by: str) -> CorrectionRecord:
    """Return a reviewer's judgment of the answer of a request.

    Raises SettingsError if a text is too long, if not exactly one of `answer` and `approved` is given, or if the request is a copy
    that Weir sent, and NotFoundError if the request has no answer in the ledger.
    """
    if story.events is None or story.events.end is None:
        raise NotFoundError(f"request {story.request_id} has no answer in the ledger")
    if story.events.shadow_of:
        raise SettingsError(
            f"request {story.request_id} is a copy that Weir sent, whose answer no user received; review request {story.events.shadow_of}"
        )
    if bool(answer) == approved:
        raise SettingsError("send either correction or approved, and optionally comment")
    for what, text, limit in (("correction", answer, CORRECTION_BYTES), ("comment", comment, COMMENT_BYTES)):
        if (size := len(text.encode())) > limit:
            raise SettingsError(f"the {what} has {size} bytes, the limit is {limit}; shorten it")
    return CorrectionRecord(
        request_id=story.request_id,
        tenant=story.events.tenant,
        at=canonical_time(time.time()),
        principal=by,
        answer=answer,
        comment=comment,
        approved=approved,
    )


async def publish_review(kafka: KafkaSettings, reader: LedgerReader, data: Feedback | CorrectionRecord) -> None:
    """Publish a review with the key and partition of its request; wait for the acknowledgement; raises BrokerError."""
    topic = kafka.names.feedback if isinstance(data, Feedback) else kafka.names.inference
    with needs_kafka(kafka.bootstrap_servers):
        key, partition = await _key_and_partition(kafka, reader, data)
        async with producer_for(kafka.client_options()) as producer:
            await publish(producer, topic, _event(data, key), partition=partition)


def _event(data: Feedback | CorrectionRecord, key: str) -> Event:
    kind, cause = ("feedback", data.alert_id) if isinstance(data, Feedback) else ("correction", "")
    return Event(
        id=f"{data.request_id}/{kind}/{secrets.token_hex(8)}",
        source=_SOURCE,
        type=data.event_type,
        time=canonical_time(time.time()),
        data=data,
        subject=data.request_id,
        correlationid=data.request_id,
        causationid=cause,
        partitionkey=key,
    )


async def _key_and_partition(
    kafka: KafkaSettings, reader: LedgerReader, data: Feedback | CorrectionRecord
) -> tuple[str, int]:
    """Return key (a hash of the conversation id) and partition of the request's record; compute both if the record has expired."""
    story = reader.request(data.request_id)
    for location in story.events.locations if story is not None and story.events is not None else ():
        async with consumer_for(kafka.client_options()) as consumer:
            record = await record_at(consumer, TopicPartition(location.topic, location.partition), location.offset)
        if record is not None and record.key is not None:
            return record.key.decode(), location.partition
    key = inference_key(data.tenant, data.request_id)  # the record has expired
    return key, partition_for(key, kafka.partitions)
