"""Events a second of the score app against a bare aiokafka loop that runs the same detectors on the same records.

``make bench PARTS=score_rate ARGS="HOST:PORT 400"`` prints one JSON object; without ARGS it starts a broker. The bare loop reads, decodes and scores in its own
process and writes nothing; the app also publishes verdicts, findings and signals, awaits them, and commits.
"""

import asyncio
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from stream.kafka.clients import consumer_for
from stream.runtime.app import BaseApp
from stream.settings import DetectorSettings, KafkaSettings, ScoreSettings, WatchSettings
from stream.stages.score.model_process import Engine, Item
from stream.stages.score.records import item_of, owed
from stream.stages.score_app import create_app, engine_spec
from stream.wire import (
    Event,
    Message,
    RequestRecord,
    ResponseRecord,
    canonical_time,
    decode,
    encode,
    inference_key,
    partition_for,
)

__all__ = ["Figures", "Stopwatch", "append", "bench_topics", "measure", "records", "score_all"]

_WORDS = [
    "the",
    "a",
    "of",
    "and",
    "to",
    "in",
    "recipe",
    "garden",
    "river",
    "train",
    "music",
    "winter",
    "because",
    "while",
    "quickly",
    "slowly",
    "green",
    "old",
    "small",
    "please",
    "explain",
    "write",
    "translate",
    "summary",
    "question",
    "answer",
    "city",
    "mountain",
    "number",
    "letter",
    "garage",
    "engine",
    "cook",
    "bread",
    "water",
    "light",
    "table",
    "window",
]
_DEADLINE_SECONDS = 600.0


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured; CPU is the reading process's own, the app's without its model process."""

    events: int
    stream_events_per_second: float
    bare_events_per_second: float
    ratio: float
    stream_cpu_ms_per_event: float
    bare_cpu_ms_per_event: float


async def measure(bootstrap: str, *, events: int = 400, seed: int = 0) -> Figures:
    """Measure both arms on topics of their own, the bare loop first.

    Parameters
    ----------
    bootstrap
        A broker, ``host:port``.
    events
        Records, half of them requests and half answers.
    seed
        Of the texts.
    """
    kafka = KafkaSettings(bootstrap_servers=bootstrap, topic_prefix=f"bench-{uuid.uuid4().hex[:8]}.")
    await bench_topics(kafka)
    await append(kafka, list(records(events, seed)))
    bare = await _bare(kafka, events)
    stream = await score_all(kafka, events)
    return Figures(
        events=events,
        stream_events_per_second=stream.rate(),
        bare_events_per_second=bare.rate(),
        ratio=stream.rate() / bare.rate(),
        stream_cpu_ms_per_event=stream.cpu_ms(),
        bare_cpu_ms_per_event=bare.cpu_ms(),
    )


class Stopwatch:
    """A stopwatch that starts after the first piece of work, which pays for what is slow once."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None
        self._first = self._last = 0
        self._ended = (0.0, 0.0)

    def at(self, done: int) -> None:
        """Note that so many events are done."""
        now = (time.perf_counter(), time.process_time())
        if done and self._began is None:
            self._began, self._first = now, done
        self._last, self._ended = done, now

    def rate(self) -> float:
        """Return events a second."""
        assert self._began is not None
        return (self._last - self._first) / (self._ended[0] - self._began[0])

    def cpu_ms(self) -> float:
        """Return CPU milliseconds an event."""
        assert self._began is not None
        return 1000 * (self._ended[1] - self._began[1]) / (self._last - self._first)


def records(count: int, seed: int, *, start: float = 1_700_000_000.0, apart_seconds: float = 1.0) -> Iterator[Event]:
    """Yield distinct texts of 10 to 60 words, some with something to find; the first at `start`."""
    rng = random.Random(seed)
    for number in range(count):
        text = " ".join(rng.choices(_WORDS, k=rng.randint(10, 60)))
        if number % 10 == 0:
            text += f" call me at 212-555-{rng.randint(1000, 9999)}"
        request_id = f"bench-{seed}-{number // 2}"
        detectors = DetectorSettings()
        data: RequestRecord | ResponseRecord
        if number % 2 == 0:
            message = Message(role="user", content=text)
            data = RequestRecord(
                request_id=request_id, tenant="bench", model="m", messages=(message,), owed=detectors.input
            )
        else:
            data = ResponseRecord(
                request_id=request_id, tenant="bench", model="m", status="complete", text=text, owed=detectors.output
            )
        yield Event(
            id=f"{request_id}/{'request' if number % 2 == 0 else 'end'}",
            source="bench",
            type=data.event_type,
            time=canonical_time(start + number * apart_seconds),
            data=data,
            correlationid=request_id,
            partitionkey=inference_key("bench", request_id),
        )


async def bench_topics(kafka: KafkaSettings) -> None:
    """Create every topic, one copy each."""
    admin = AIOKafkaAdminClient(**kafka.client_options())
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic.name, topic.partitions, 1) for topic in kafka.topics()])
    finally:
        await admin.close()


async def append(kafka: KafkaSettings, events: Sequence[Event]) -> None:
    """Write to inference; what has no key, a tick, to every partition."""
    producer = AIOKafkaProducer(**kafka.client_options(), acks="all")
    await producer.start()
    try:
        for event in events:
            record = encode(event)
            places = range(kafka.partitions) if record.key is None else [partition_for(record.key, kafka.partitions)]
            for place in places:
                await producer.send(
                    kafka.names.inference, record.value, key=record.key, partition=place, headers=list(record.headers)
                )
    finally:
        await producer.stop()


async def _bare(kafka: KafkaSettings, events: int) -> Stopwatch:
    """Time: read, decode, score; nothing else."""
    engine = Engine(engine_spec(DetectorSettings(), ScoreSettings()))
    await asyncio.to_thread(engine.load)
    async with consumer_for(kafka.client_options(), auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(kafka.names.inference, number) for number in range(kafka.partitions)])
        done, watch = 0, Stopwatch()
        while done < events:
            batches = await consumer.getmany(timeout_ms=1000, max_records=ScoreSettings().batch_events)
            records = [record for batch in batches.values() for record in batch]
            if records:
                engine.score([_item(decode(record.value, record.headers)) for record in records])
            done += len(records)
            watch.at(done)
        return watch


def _item(event: Event) -> Item:
    assert isinstance(event.data, RequestRecord | ResponseRecord)
    return item_of(event.data, owed(event.data), embed=True)


async def score_all(kafka: KafkaSettings, events: int) -> Stopwatch:
    """Run the app over so many records and time it: outputs acknowledged and offsets free."""
    with tempfile.TemporaryDirectory() as directory:
        app = create_app(
            kafka,
            DetectorSettings(),
            ScoreSettings(),
            WatchSettings(),
            data_dir=Path(directory) / "score",
            registry=CollectorRegistry(),
            tracer_provider=TracerProvider(),
        )
        app.loop = asyncio.get_running_loop()
        await app.start()
        try:
            return await _settled(app, events)
        finally:
            await app.stop()


async def _settled(app: BaseApp, events: int) -> Stopwatch:
    """Time the app from the first event that is settled to the last."""
    settled, acknowledge, watch = [0], app.acknowledge, Stopwatch()

    def counting(event: object) -> bool:
        settled[0] += 1
        return acknowledge(event)

    app.acknowledge = counting  # type: ignore[method-assign] # what is timed is settled through it
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while settled[0] < events:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{settled[0]} of {events} events were scored within {_DEADLINE_SECONDS:.0f} s")
        watch.at(settled[0])
        await asyncio.sleep(0.02)
    watch.at(settled[0])
    return watch


def _main(bootstrap: str, events: str = "400") -> None:
    figures = asyncio.run(measure(bootstrap, events=int(events)))
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
