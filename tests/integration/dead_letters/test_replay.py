"""Letters put back on a real broker: as they were, on their partition, and what cannot or must not be."""

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import MessageSizeTooLargeError
from support.kafka_log import fresh_topics

from stream.dead_letters import DeadLetters
from weir.dead_letters.replay import Outcome, replay
from weir.cli.render.dead_letter import read_letter
from weir.dead_letters.topic_reader import DeadLetterLog
from weir.errors import NotFoundError

pytestmark = pytest.mark.kafka
OWN = (("ce_id", b"r1/request"), ("x", b"1"), ("x", b"2"))


class Bench:
    """Topics of its own, records on them, and letters of those written as the stages write them."""

    def __init__(self, kafka, producer):
        self.kafka = kafka
        self.names = kafka.names
        self._producer = producer
        self.log = DeadLetterLog(kafka)

    async def produce(self, topic, *, key, value, headers=(), partition=0):
        return await self._producer.send_and_wait(topic, value, key=key, headers=list(headers), partition=partition)

    async def put(self, topic, value, *, key=b"k", headers=OWN, partition=1):
        """Write a record and return it as a stage would read it."""
        sent = await self.produce(topic, key=key, value=value, headers=headers, partition=partition)
        return next(record for record in await self.read(topic, partition) if record.offset == sent.offset)

    async def bury(self, record, *, stage="score", disposition="bug"):
        letters = DeadLetters(self, self.names.dead_letters, stage)
        await letters.send(record, disposition=disposition, error="ValueError")

    async def read(self, topic, partition=1):
        place = TopicPartition(topic, partition)
        options = self.kafka.client_options()
        consumer = AIOKafkaConsumer(**options, auto_offset_reset="earliest", max_partition_fetch_bytes=2**22)
        await consumer.start()
        try:
            consumer.assign([place])
            end = (await consumer.end_offsets([place]))[place]
            records = []
            while await consumer.position(place) < end:
                records += (await consumer.getmany(place, timeout_ms=200)).get(place, [])
            return records
        finally:
            await consumer.stop()

    async def replay(self, **options):
        outcomes = await replay(self.kafka, await self.log.letters(), **options)
        return [(one.offset, one.result) for one in outcomes], outcomes

    async def forget(self, topic, before, partition=1):
        """Let the log lose what is before an offset, as retention does."""
        admin = AIOKafkaAdminClient(**self.kafka.client_options())
        await admin.start()
        try:
            await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before_offset=before)})
        finally:
            await admin.close()


async def bench_on(broker):
    kafka = await fresh_topics(broker.bootstrap)
    return kafka, AIOKafkaProducer(**kafka.client_options(), acks="all", max_request_size=2**23)


@pytest.fixture
async def bench(broker):
    kafka, producer = await bench_on(broker)
    async with producer:
        yield Bench(kafka, producer)


@pytest.fixture
async def apache(apache_broker):
    kafka, producer = await bench_on(apache_broker)
    async with producer:
        yield Bench(kafka, producer)


async def test_a_letter_comes_back_as_it_was_with_our_headers_and_is_noted(bench):
    topic = bench.names.inference
    await bench.put(topic, b"before")
    await bench.bury(await bench.put(topic, b"words"))
    await bench.bury(await bench.put(topic, None, key=b"gone"))
    assert (await bench.replay(dry_run=True))[0] == [(0, "would replay"), (1, "would replay")]
    assert len(await bench.read(topic)) == 3
    progress = []
    results, _ = await bench.replay(progress=progress.append)
    assert (results, sum(progress)) == ([(0, "replayed"), (1, "replayed")], 2)
    back = {record.key: record for record in (await bench.read(topic))[3:]}
    assert {key: record.value for key, record in back.items()} == {b"k": b"words", b"gone": None}
    assert back[b"k"].headers[:3] == OWN
    ours = dict(back[b"k"].headers[3:])
    assert (ours["__weir.errors.attempt"], ours["__weir.errors.offset"]) == (b"1", b"1")
    first, second = await bench.log.letters()
    assert {first.replayed_to, second.replayed_to} == {3, 4}
    await bench.bury(back[b"k"])
    results, outcomes = await bench.replay()
    assert results == [(0, "skipped"), (1, "skipped"), (4, "replayed")], "0 and 1 are letters, 2 and 3 notes"
    assert "--again" in outcomes[0].detail
    assert [letter.attempt for letter in await bench.log.letters()] == [1, 1, 2]


async def test_those_that_cannot_be_put_back_are_said_and_the_others_are_put_back(apache):
    topic, dead = apache.names.inference, apache.names.dead_letters
    place = (("__weir.errors.partition", b"1"), ("__weir.errors.offset", b"0"))
    await apache.produce(dead, key=b"k", value=b"x", headers=(("__weir.errors.topic", b"elsewhere"), *place))
    await apache.produce(dead, key=b"k", value=b"x", headers=(("__weir.errors.topic", dead.encode()), *place))
    await apache.produce(dead, key=b"k", value=b"x")
    await apache.bury(await apache.put(topic, b"words"))
    results, outcomes = await apache.replay()
    assert results == [(0, "failed"), (1, "failed"), (2, "failed"), (3, "replayed")]
    assert "its headers name elsewhere-1; Weir's topics here are " in outcomes[0].detail
    assert "its headers name no topic; " in outcomes[2].detail
    letters = await apache.log.letters()
    await apache.forget(dead, 4, partition=0)
    assert await replay(apache.kafka, letters[:1]) == [
        Outcome(
            offset=0,
            result="failed",
            detail="it expired while this ran: [kafka] retention_hours keeps letters longer",
        )
    ]
    with pytest.raises(NotFoundError, match=r"no dead letter at offset 0"):
        await read_letter(apache.kafka, 0, content=False)


async def largest(bench, topic):
    """Return a record that just fits its topic: with 16 bytes more, it does not."""
    for size in range(1_114_112, 0, -16):
        try:
            return await bench.put(topic, b"x" * size, key=None)
        except MessageSizeTooLargeError:
            continue
    raise AssertionError


async def test_a_letter_that_kept_only_its_place_is_fetched_there_and_put_back_as_it_was(apache):
    topic = apache.names.inference
    await apache.put(topic, b"before")
    record = await largest(apache, topic)
    await apache.bury(record)
    (letter,) = await apache.log.letters()
    assert (letter.disposition, letter.value_kept, letter.size_bytes) == ("oversize", False, 0)
    shown = await read_letter(apache.kafka, 0, content=True)
    assert shown.text == "x" * len(record.value)
    results, _ = await apache.replay()
    assert results == [(0, "replayed")]
    back = (await apache.read(topic))[-1]
    assert (back.offset, back.value, back.headers) == (record.offset + 1, record.value, OWN)


async def test_one_whose_source_has_expired_is_said_to_be_lost_and_the_others_are_put_back(apache):
    topic = apache.names.inference
    await apache.bury(await largest(apache, topic))
    await apache.bury(await apache.put(topic, b"words"))
    await apache.forget(topic, 1)
    results, outcomes = await apache.replay()
    assert results == [(0, "failed"), (1, "replayed")]
    assert (
        outcomes[0].detail == f"it was too large to be kept, and {topic}-1 offset 0 has expired: nothing is left of it"
    )
    assert (await read_letter(apache.kafka, 0, content=True)).text is None


@pytest.mark.parametrize("kind", ["alerts", "retraining"])
async def test_an_old_state_never_comes_to_stand_after_a_newer_one(apache, kind):
    topic = getattr(apache.names, kind)
    subject = (("ce_subject", b"al_1"),)
    await apache.bury(await apache.put(topic, b"firing", key=b"al_1", headers=subject), stage="retrain")
    await apache.put(topic, b"resolved", key=b"al_1", headers=subject)
    other = (("ce_subject", b"al_2"),)
    await apache.bury(await apache.put(topic, b"firing", key=b"al_2", headers=other), stage="retrain")
    results, outcomes = await apache.replay()
    assert results == [(0, "skipped"), (1, "replayed")]
    assert outcomes[0].detail == f"{topic}-1 offset 1 states the same thing as it is now"
    assert [record.value for record in await apache.read(topic)] == [b"firing", b"resolved", b"firing", b"firing"]


async def test_many_are_put_back_in_their_order(apache):
    topic = apache.names.inference
    first = await apache.put(topic, b"first")
    for number in range(450):  # more than one chunk
        await apache.bury(first.__class__(**vars_of(first) | {"value": b"%d" % number}))
    progress = []
    results, _ = await apache.replay(progress=progress.append)
    assert len(results) == 450
    assert {result for _, result in results} == {"replayed"}
    assert progress == [200, 200, 50]
    assert [record.value for record in (await apache.read(topic))[1:]] == [b"%d" % number for number in range(450)]


def vars_of(record):
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
