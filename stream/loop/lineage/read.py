"""Read the records of a chain from Kafka."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer

from stream.kafka.clients import consumer_for, needs_kafka
from stream.kafka.log_reader import partitions_of
from stream.kafka.range_reader import RangeReader
from stream.loop.lineage.chain import wanted_requests
from stream.loop.lineage.facts import DatasetFacts, Facts, Place
from stream.settings import KafkaSettings
from stream.wire import LogRange, readable

#: Returns the dataset with this digest, or None if it is not on this machine.
Datasets = Callable[[str], DatasetFacts | None]


async def read_facts(kafka: KafkaSettings, version: str, datasets: Datasets) -> tuple[Facts, DatasetFacts | None]:
    """Return the facts about `version` and its dataset; raises BrokerError.

    Model versions, retraining events and alerts are read whole. Requests, verdicts and findings are read from the first
    offset that the retraining request or the dataset names to the end of the log, because alerts get further evidence after a
    request. If the dataset has old rows, all requests are read.
    """
    facts, names, options = Facts(), kafka.names, kafka.client_options()
    counts = {topic.name: topic.partitions for topic in kafka.topics()}
    with needs_kafka(options["bootstrap_servers"]):
        async with consumer_for(options) as consumer:
            for topic in (names.models, names.retraining, names.alerts):
                await _read(consumer, facts, topic, counts[topic], {})
        model = facts.models[facts.line(version)[-1]] if version in facts.models else None
        dataset = datasets(model.dataset_digest) if model is not None and model.dataset_digest else None
        facts.wanted = wanted_requests(facts, version, dataset)
        if model is not None and facts.wanted:
            requested = facts.state(model.retraining_id, "requested")
            pins = [] if requested is None else [item for item in (requested.data, *requested.pins) if item]
            first = _first([*(dataset.ranges if dataset else ()), *pins])
            if dataset is not None and dataset.has_old_rows:
                first.pop(names.inference, None)
            for topic in (names.inference, names.verdicts, names.findings):
                async with consumer_for(options) as consumer:
                    await _read(consumer, facts, topic, counts[topic], first.get(topic, {}))
    return facts, dataset


def _first(ranges: Iterable[LogRange]) -> dict[str, dict[str, int]]:
    """Return {topic: {partition: smallest first offset of `ranges`}}."""
    found: dict[str, dict[str, int]] = {}
    for item in ranges:
        of_topic = found.setdefault(item.topic, {})
        for number, offset in item.first.items():
            of_topic[number] = min(offset, of_topic.get(number, offset))
    return found


async def _read(consumer: AIOKafkaConsumer, facts: Facts, topic: str, count: int, first: Mapping[str, int]) -> None:
    """Add the records of a topic from the offsets `first`, or from the oldest, to the end of the log."""
    tps = partitions_of({topic: count})
    begins, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
    span = LogRange(
        topic=topic,
        first={str(tp.partition): max(begins[tp], first.get(str(tp.partition), 0)) for tp in tps},
        last={str(tp.partition): ends[tp] for tp in tps},
    )
    reader = RangeReader(consumer, [span])
    for tp in tps:
        record: Any
        while (record := await reader.next(topic, tp.partition)) is not None:
            event = readable(record.value, record.headers)
            if event is not None:
                facts.add(event, Place(topic, tp.partition, record.offset))
