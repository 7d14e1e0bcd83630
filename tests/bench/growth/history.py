"""Cost per event by number of retained events: score with logs of growing length, the ledger with a growing database."""

import time

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata
from support.events import tick
from support.kafka_log import fresh_topics
from support.ledger_log import Entry, forwarded, verdict
from support.ledger_log import request as ledger_request
from support.score_stack import request

from bench.growth.workers import rate, score_worker
from stream.kafka.clients import consumer_for, producer_for
from stream.kafka.log_reader import partitions_of
from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import OutgoingAlert
from stream.ledger.store import LedgerStore
from stream.settings import LedgerSettings
from stream.wire import TopicNames, encode

RETAINED = (10_000, 100_000, 1_000_000)
PARTITIONS = 8
MEASURED = BATCH = 2_000


async def score(bootstrap, directory):
    """Measure a worker that starts at the end of a log of `retained` events; its detector takes no time."""
    for retained in RETAINED:
        kafka = await fresh_topics(bootstrap, partitions=PARTITIONS)
        await fill(kafka, retained)
        await read_by_the_group(kafka)
        async with score_worker(kafka, directory / str(retained), 0.0):
            yield {"retained": retained, "events/s": await rate(kafka, MEASURED)}


async def fill(kafka, count):
    """Write one record `count` times: the broker retains the copies, score does not read them."""
    record = encode(request("filler", "hello " * 40, at=10.0, owed=("pii",)))
    headers = list(record.headers)
    async with producer_for(kafka.client_options(), linger_ms=20, max_batch_size=512 * 1024) as producer:
        for number in range(count):
            await producer.send(kafka.names.inference, record.value, partition=number % PARTITIONS, headers=headers)
        await producer.flush()


async def read_by_the_group(kafka):
    """Commit the end of the log for score's group, as if all of it had been scored."""
    places = partitions_of({kafka.names.inference: PARTITIONS})
    async with consumer_for(kafka.client_options(), group_id=f"{kafka.topic_prefix}score") as consumer:
        consumer.assign(places)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(places)
        await consumer.commit({place: OffsetAndMetadata(end, "") for place, end in ends.items()})


async def ledger(_bootstrap, directory):
    """Apply events with one verdict each until `retained` are stored; time the last `MEASURED` events, a decision and a query."""
    store = LedgerStore(LedgerFiles(directory), TopicNames("weir."), PARTITIONS, float("inf"))
    done, offsets = 0, [0] * (2 * PARTITIONS)
    for retained in RETAINED:
        while done < retained - MEASURED:
            count = min(BATCH, retained - MEASURED - done)
            store.apply(batches(done, count, offsets))
            done += count
        last = batches(done, MEASURED, offsets)
        began = time.perf_counter()
        store.apply(last)
        cost = (time.perf_counter() - began) / MEASURED
        done += MEASURED
        yield {
            "retained": retained,
            "µs an event and its verdict": 1e6 * cost,
            **decide(store),
            "MB on disk": sum(path.stat().st_size for path in directory.iterdir()) / 1e6,
        }
    store.close()


def batches(first, count, offsets):
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
            batches.append([entry(topic, partition, 2 * partition + place, event, offsets) for event in records])
    return batches


def entry(topic, partition, place, event, offsets):
    record = encode(event)
    offsets[place] += 1
    return Entry(topic, partition, offsets[place], record.value, record.headers)


def decide(store):
    began = time.perf_counter()
    store.decide(LedgerSettings(), lambda record, _evidence: OutgoingAlert(record=record))
    decided = time.perf_counter()
    store.coverage()
    return {"ms to decide": 1e3 * (decided - began), "ms for coverage": 1e3 * (time.perf_counter() - decided)}
