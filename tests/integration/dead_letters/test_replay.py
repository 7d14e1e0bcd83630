"""Replay of dead letters on a real broker: the same record and partition, and letters that cannot be replayed."""

import dataclasses
import re
from contextlib import aclosing, asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import MessageSizeTooLargeError
from support.kafka_log import fresh_topics

from stream.dead_letters import DeadLetters
from stream.errors import TopicMissing
from stream.kafka.clients import admin_for
from stream.kafka.tail import Tail
from stream.settings import KafkaSettings
from weir.dead_letters.replay import replay
from weir.dead_letters.topic_reader import DeadLetterTopic
from weir.errors import NotFoundError

pytestmark = pytest.mark.kafka
OWN = (("ce_id", b"r1/request"), ("x", b"1"), ("x", b"2"))


class Lab:
    """Separate topics, with records and dead letters written as the stages write them."""

    def __init__(self, kafka, producer):
        self.kafka = kafka
        self.names = kafka.names
        self._producer = producer
        self.log = DeadLetterTopic(kafka)

    async def produce(self, topic, *, key, value, headers=(), partition=0):
        return await self._producer.send_and_wait(topic, value, key=key, headers=list(headers), partition=partition)

    async def put(self, topic, value, *, key=b"k", headers=OWN, partition=1):
        """Write a record; return the record as a stage reads it."""
        sent = await self.produce(topic, key=key, value=value, headers=headers, partition=partition)
        return next(record for record in await self.read(topic, partition) if record.offset == sent.offset)

    async def fail(self, record, *, stage="score", disposition="bug"):
        letters = DeadLetters(self, self.names.dead_letters, stage)
        await letters.send(record, disposition=disposition, error="ValueError")

    async def read(self, topic, partition=1):
        async with aclosing(Tail(self.kafka.client_options(), topic, follow=False).records()) as records:
            return [record async for record in records if record.partition == partition]

    async def replay(self, **options):
        outcomes = await replay(self.kafka, await self.log.letters(), **options)
        return [(one.offset, one.result) for one in outcomes], outcomes

    async def expire(self, topic, before, partition=1):
        """Delete the records before an offset, as retention does."""
        async with admin_for(self.kafka.client_options()) as admin:
            await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before_offset=before)})


@asynccontextmanager
async def lab_on(broker):
    kafka = await fresh_topics(broker.bootstrap, broker.kind)
    async with AIOKafkaProducer(**kafka.client_options(), acks="all", max_request_size=2**23) as producer:
        yield Lab(kafka, producer)


@pytest.fixture
async def lab(broker):
    async with lab_on(broker) as lab:
        yield lab


@pytest.fixture
async def apache(apache_broker):
    async with lab_on(apache_broker) as lab:
        yield lab


async def test_a_replayed_record_is_the_same_with_error_headers_and_is_noted(lab):
    topic = lab.names.inference
    await lab.put(topic, b"before")
    await lab.fail(await lab.put(topic, b"words"))
    await lab.fail(await lab.put(topic, None, key=b"gone"))
    assert (await lab.replay(dry_run=True))[0] == [(0, "would replay"), (1, "would replay")]
    assert len(await lab.read(topic)) == 3
    progress = []
    results, _ = await lab.replay(progress=lambda *counts: progress.append(counts))
    assert (results, progress[-1]) == ([(0, "replayed"), (1, "replayed")], (2, 2))
    back = {record.key: record for record in (await lab.read(topic))[3:]}
    assert {key: record.value for key, record in back.items()} == {b"k": b"words", b"gone": None}
    assert back[b"k"].headers[:3] == OWN
    ours = dict(back[b"k"].headers[3:])
    assert (ours["__weir.errors.attempt"], ours["__weir.errors.offset"]) == (b"1", b"1")
    first, second = await lab.log.letters()
    assert {first.replayed_to, second.replayed_to} == {3, 4}
    await lab.fail(back[b"k"])
    results, outcomes = await lab.replay()
    assert results == [(0, "skipped"), (1, "skipped"), (4, "replayed")], (
        "offsets 0 and 1 are letters, 2 and 3 are notes"
    )
    assert "--again" in outcomes[0].detail
    assert [letter.attempt for letter in await lab.log.letters()] == [1, 1, 2]


async def test_letters_that_cannot_be_replayed_fail_and_the_others_are_replayed(apache):
    topic, dead = apache.names.inference, apache.names.dead_letters
    place = (("__weir.errors.partition", b"1"), ("__weir.errors.offset", b"0"))
    await apache.produce(dead, key=b"k", value=b"x", headers=(("__weir.errors.topic", b"elsewhere"), *place))
    await apache.produce(dead, key=b"k", value=b"x", headers=(("__weir.errors.topic", dead.encode()), *place))
    await apache.produce(dead, key=b"k", value=b"x")
    await apache.fail(await apache.put(topic, b"words"))
    results, outcomes = await apache.replay()
    assert results == [(0, "failed"), (1, "failed"), (2, "failed"), (3, "replayed")]
    assert "its headers name elsewhere-1" in outcomes[0].detail
    assert "set WEIR_KAFKA__TOPIC_PREFIX" in outcomes[0].detail
    assert "its headers name no topic" in outcomes[2].detail
    letters = await apache.log.letters()
    await apache.expire(dead, 4, partition=0)
    (expired,) = await replay(apache.kafka, letters[:1])
    assert (expired.offset, expired.result) == (0, "failed")
    assert "retention_hours" in expired.detail
    with pytest.raises(NotFoundError, match=r"no dead letter at offset 0"):
        await apache.log.letter(0, content=False)


async def test_a_partition_that_does_not_exist_is_named_with_the_bound_of_its_topic(lab):
    place = {"topic": lab.names.inference, "partition": 9, "offset": 0, "disposition": "oversize"}
    headers = [(f"__weir.errors.{name}", str(value).encode()) for name, value in place.items()]
    await lab.produce(lab.names.dead_letters, key=None, value=b"", headers=headers)
    count = next(topic.partitions for topic in lab.kafka.topics() if topic.name == lab.names.inference)
    named = f"name partition 9 of {lab.names.inference}, which has {count} partitions (0 to {count - 1})"
    _, (outcome,) = await lab.replay()
    assert named in outcome.detail
    assert "TOPIC_PREFIX" not in outcome.detail
    with pytest.raises(NotFoundError, match=re.escape(named)):
        await lab.log.letter(0, content=True)
    assert (await lab.log.letter(0, content=False)).partition == 9


async def largest(lab, topic):
    """Write and return the largest record that the topic accepts, to within 16 bytes."""
    for size in range(1_114_112, 0, -16):
        try:
            return await lab.put(topic, b"x" * size, key=None)
        except MessageSizeTooLargeError:
            continue
    raise AssertionError


async def test_a_letter_without_its_value_is_read_from_its_source(apache):
    topic = apache.names.inference
    await apache.put(topic, b"before")
    record = await largest(apache, topic)
    await apache.fail(record)
    (letter,) = await apache.log.letters()
    assert (letter.disposition, letter.value_kept, letter.size_bytes) == ("oversize", False, 0)
    shown = await apache.log.letter(0, content=True)
    assert shown.text == "x" * len(record.value)
    results, _ = await apache.replay()
    assert results == [(0, "replayed")]
    back = (await apache.read(topic))[-1]
    assert (back.offset, back.value, back.headers) == (record.offset + 1, record.value, OWN)


async def test_a_letter_whose_source_has_expired_fails_and_the_others_are_replayed(apache):
    topic = apache.names.inference
    await apache.fail(await largest(apache, topic))
    await apache.fail(await apache.put(topic, b"words"))
    await apache.expire(topic, 1)
    results, outcomes = await apache.replay()
    assert results == [(0, "failed"), (1, "replayed")]
    assert f"{topic}-1 offset 0 has expired" in outcomes[0].detail
    assert (await apache.log.letter(0, content=True)).text is None


@pytest.mark.parametrize("kind", ["alerts", "retraining"])
async def test_an_outdated_state_is_not_appended_after_a_newer_one(apache, kind):
    topic = getattr(apache.names, kind)
    subject = (("ce_subject", b"al_1"),)
    await apache.fail(await apache.put(topic, b"firing", key=b"al_1", headers=subject), stage="retrain")
    await apache.put(topic, b"resolved", key=b"al_1", headers=subject)
    other = (("ce_subject", b"al_2"),)
    await apache.fail(await apache.put(topic, b"firing", key=b"al_2", headers=other), stage="retrain")
    results, outcomes = await apache.replay()
    assert results == [(0, "skipped"), (1, "replayed")]
    assert outcomes[0].detail.startswith(f"{topic}-1 offset 1 ")
    assert [record.value for record in await apache.read(topic)] == [b"firing", b"resolved", b"firing", b"firing"]


async def test_many_letters_are_replayed_in_order(apache):
    topic = apache.names.inference
    first = await apache.put(topic, b"first")
    for number in range(450):  # more than one chunk
        await apache.fail(dataclasses.replace(first, value=b"%d" % number))
    progress = []
    results, _ = await apache.replay(progress=lambda *counts: progress.append(counts))
    assert len(results) == 450
    assert {result for _, result in results} == {"replayed"}
    assert progress == [(200, 450), (400, 450), (450, 450)]
    assert [record.value for record in (await apache.read(topic))[1:]] == [b"%d" % number for number in range(450)]


async def test_a_letter_on_a_topic_that_does_not_exist_is_an_error_that_names_the_topic(broker):
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap, topic_prefix="none.")
    with pytest.raises(TopicMissing, match=r"no topic none\.inference\.dlq; run `weir topics create`"):
        await DeadLetterTopic(kafka).letter(17, content=False)
