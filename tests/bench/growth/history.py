"""Cost per event against what is retained: score on a longer and longer log, the ledger with more and more rows."""

import tempfile
import time
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from support.backlog import append
from support.kafka_log import fresh_topics
from support.ledger_log import Entry, forwarded, tick, verdict
from support.ledger_log import request as ledger_request
from support.score_stack import request

from bench.growth.workers import rate, score_worker
from stream.kafka.clients import stop_consumer
from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import OutgoingAlert
from stream.ledger.store import LedgerStore
from stream.settings import LedgerSettings
from stream.wire import TopicNames, encode

RETAINED = (10_000, 100_000, 1_000_000)
PARTITIONS = 8
_MEASURED = 2_000
_BATCH = 2_000


async def score(bootstrap, directory, say):
    """Rate of a worker that goes on at the end of a log of so many events; its detector costs nothing."""
    found = []
    for retained in RETAINED:
        kafka = await fresh_topics(bootstrap, partitions=PARTITIONS)
        began = time.monotonic()
        await _fill(kafka, retained)
        say(f"  {retained} events retained after {time.monotonic() - began:.0f} s")
        await _read_by_the_group(kafka)
        async with score_worker(kafka, directory / str(retained), 0.0):
            backlog = [request(f"m{n}", "hello", at=900.0 + n / 1000, owed=("pii",)) for n in range(_MEASURED)]
            await append(kafka, kafka.names.inference, backlog, PARTITIONS)
            found.append(
                {"retained": retained, "events/s": await rate(kafka, kafka.names.verdicts, PARTITIONS, _MEASURED)}
            )
    return found


async def _fill(kafka, count):
    """Repeat one record: score does not read them, the broker keeps them."""
    record = encode(request("filler", "hello " * 40, at=10.0, owed=("pii",)))
    headers = list(record.headers)
    async with AIOKafkaProducer(**kafka.client_options(), linger_ms=20, max_batch_size=512 * 1024) as producer:
        for number in range(count):
            await producer.send(kafka.names.inference, record.value, partition=number % PARTITIONS, headers=headers)
        await producer.flush()


async def _read_by_the_group(kafka):
    """Commit the end of the log for score's group, as if all of it had been scored."""
    tps = [TopicPartition(kafka.names.inference, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(
        **kafka.client_options(), group_id=f"{kafka.topic_prefix}score", enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        await consumer.commit({tp: OffsetAndMetadata(end, "") for tp, end in ends.items()})
    finally:
        await stop_consumer(consumer)


def ledger():
    """Apply events with one verdict each until so many are retained; time the last of them, and one look."""
    with tempfile.TemporaryDirectory() as folder:
        store = LedgerStore(LedgerFiles(Path(folder)), TopicNames("weir."), PARTITIONS, float("inf"))
        done, offsets = 0, [0] * (2 * PARTITIONS)
        for retained in RETAINED:
            while done < retained - _MEASURED:
                count = min(_BATCH, retained - _MEASURED - done)
                store.apply(_batches(done, count, offsets))
                done += count
            last = _batches(done, _MEASURED, offsets)
            began = time.perf_counter()
            store.apply(last)
            cost = (time.perf_counter() - began) / _MEASURED
            done += _MEASURED
            yield {
                "retained": retained,
                "µs an event and its verdict": 1e6 * cost,
                **_decide(store),
                "MB on disk": sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6,
            }
        store.close()


def _batches(first, count, offsets):
    """Return `count` requests from number `first` on, their verdicts, and ticks, as records by partition."""
    batches = []
    now = 100.0 + (first + count) / 100
    for partition in range(PARTITIONS):
        events = [
            ledger_request(f"r{n}", 100.0 + n / 100, owed=("pii",), tenant=f"t{n % 50}")
            for n in range(first + partition, first + count, PARTITIONS)
        ]
        answers = [*(verdict(event, "pii") for event in events), forwarded({"s1": now})]
        for place, (topic, records) in enumerate(
            (("weir.inference", [*events, tick(now)]), ("weir.verdicts", answers))
        ):
            batches.append([_entry(topic, partition, 2 * partition + place, event, offsets) for event in records])
    return batches


def _entry(topic, partition, place, event, offsets):
    record = encode(event)
    offsets[place] += 1
    return Entry(topic, partition, offsets[place], record.value, record.headers)


def _decide(store):
    began = time.perf_counter()
    store.decide(LedgerSettings(), lambda record, _evidence: OutgoingAlert(record=record))
    decided = time.perf_counter()
    store.coverage()
    return {"ms to decide": 1e3 * (decided - began), "ms for coverage": 1e3 * (time.perf_counter() - decided)}
