"""The only module that reads content from the log: prompts, answers, corrections and comments.

Content is in the records of ``weir.inference`` and in copies of them on the dead-letter topic. Other modules decode such a
record for its ids, numbers and offsets only, and get its content here. A caller who shows content to a person logs the
access first (:func:`weir.home.access_log.log_access`). tests/unit/stream/test_content.py checks which modules decode content.
"""

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream.kafka.log_reader import record_at
from stream.wire import CorrectionRecord, Event, RequestRecord, ResponseRecord, decode, readable
from stream.wire.codec import Headers

#: The data of the events that have content.
Content = RequestRecord | ResponseRecord | CorrectionRecord


def decode_content(value: bytes | None, headers: Headers) -> Event:
    """Decode a record of ``weir.inference``, including its content; raises as :func:`stream.wire.decode`."""
    return decode(value, headers)


def readable_content(value: bytes | None, headers: Headers) -> Event | None:
    """Decode a record like :func:`decode_content`; return None if it is not an event of the contract."""
    return readable(value, headers)


async def content_at(
    consumer: AIOKafkaConsumer, topic: str, partition: int, offset: int, request_id: str
) -> Content | None:
    """Return the content of the record at `offset`, which is about request `request_id`.

    Return None if the record has expired, is not readable, has no content, or is about another request, because the topic was
    created again. Raises TimeoutError after 15 s, and the errors of the broker.
    """
    record = await record_at(consumer, TopicPartition(topic, partition), offset)
    event = None if record is None else readable_content(record.value, record.headers)
    if event is None or not isinstance(event.data, Content) or event.data.request_id != request_id:
        return None
    return event.data


def raw_content(record: ConsumerRecord) -> bytes:
    """Return the value of a record that may be unreadable, such as a dead letter."""
    return record.value or b""
