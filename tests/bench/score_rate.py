"""The throughput of the score app and of a bare aiokafka loop with the same detectors on the same records.

``make bench PARTS=score_rate ARGS="HOST:PORT 400"`` prints one JSON object; without ARGS it starts a broker. The bare loop reads,
decodes and scores in its own process; the app also publishes verdicts, findings and signals, waits for them, and commits.
"""

import asyncio
import gc
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from support import score_stack
from support.kafka_log import fresh_topics

from bench.rounds import local_broker, say
from stream.kafka.clients import consumer_for, producer_for
from stream.kafka.log_reader import partitions_of
from stream.runtime.app import BaseApp
from stream.settings import DetectorSettings, KafkaSettings, ScoreSettings
from stream.stages.score.machine import item_of
from stream.stages.score.model_process import ModelProcess
from stream.stages.score_app import create_app, model_spec
from stream.wire import Event, decode, encode, partition_for

WORDS = [
    "the", "a", "of", "and", "to", "in", "recipe", "garden", "river", "train", "music", "winter", "because",
    "while", "quickly", "slowly", "green", "old", "small", "please", "explain", "write", "translate", "summary",
    "question", "answer", "city", "mountain", "number", "letter", "garage", "engine", "cook", "bread", "water",
    "light", "table", "window",
]  # fmt: skip
PARTITIONS = {"partitions": 8, "stream_partitions": 8}
DEADLINE_SECONDS = 600.0


class Stopwatch:
    """A stopwatch that starts when the first events are done, since these include one-time costs."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None
        self._first = self._last = 0
        self._ended = (0.0, 0.0)

    def at(self, done: int) -> None:
        """Record that `done` events are done."""
        now = (time.perf_counter(), time.process_time())
        if done and self._began is None:
            self._began, self._first = now, done
        self._last, self._ended = done, now

    def rate(self) -> float:
        """Return events per second."""
        return (self._last - self._first) / (self._ended[0] - self._began[0])

    def cpu_ms(self) -> float:
        """Return CPU milliseconds of this process per event, without the model process of the app."""
        return 1000 * (self._ended[1] - self._began[1]) / (self._last - self._first)


def records(count: int, *, start: float = 1_700_000_000.0, apart_seconds: float = 1.0) -> Iterator[Event]:
    """Yield requests and answers in turn with distinct texts of 10 to 60 words, some with personal data, from `start` on."""
    rng, settings = random.Random(0), DetectorSettings()
    for number in range(count):
        text = " ".join(rng.choices(WORDS, k=rng.randint(10, 60)))
        if number % 10 == 0:
            text += f" call me at 212-555-{rng.randint(1000, 9999)}"
        name, at = f"bench-{number // 2}", start + number * apart_seconds
        if number % 2:
            yield score_stack.end(name, text, at=at, owed=settings.output)
        else:
            yield score_stack.request(name, text, at=at, owed=settings.input)


async def append(kafka: KafkaSettings, events: Sequence[Event]) -> None:
    """Write events to inference; write an event without a key (a tick) to every partition."""
    async with producer_for(kafka.client_options()) as producer:
        for event in events:
            record = encode(event)
            every = range(kafka.partitions)
            for partition in every if record.key is None else [partition_for(record.key, kafka.partitions)]:
                headers = list(record.headers)
                await producer.send(
                    kafka.names.inference, record.value, key=record.key, partition=partition, headers=headers
                )
        await producer.flush()


async def bare(kafka: KafkaSettings, events: int) -> Stopwatch:
    """Measure a bare loop that reads, decodes and scores."""
    engine = ModelProcess(model_spec(DetectorSettings(), ScoreSettings()))
    await asyncio.to_thread(engine.load)
    async with consumer_for(kafka.client_options(), auto_offset_reset="earliest") as consumer:
        consumer.assign(partitions_of({kafka.names.inference: kafka.partitions}))
        done, watch = 0, Stopwatch()
        while done < events:
            batches = await consumer.getmany(timeout_ms=1000, max_records=ScoreSettings().batch_events)
            batch = [decode(record.value, record.headers) for records in batches.values() for record in records]
            if batch:
                engine.score([item_of(event.data, embed={"": event.data.text}) for event in batch])
            done += len(batch)
            watch.at(done)
        return watch


async def score_all(kafka: KafkaSettings, events: int) -> Stopwatch:
    """Run the app over `events` records and measure until all are acknowledged."""
    with tempfile.TemporaryDirectory() as directory:
        app = create_app(
            kafka,
            DetectorSettings(),
            ScoreSettings(),
            data_dir=Path(directory) / "score",
            registry=CollectorRegistry(),
            tracer_provider=TracerProvider(),
        )
        gc.collect()
        gc.freeze()  # as stream.runtime.worker.run does
        app.loop = asyncio.get_running_loop()
        await app.start()
        try:
            return await acknowledged(app, events)
        finally:
            await app.stop()


async def acknowledged(app: BaseApp, events: int) -> Stopwatch:
    """Measure the app from the first acknowledged event to the last."""
    done, acknowledge, watch = [0], app.acknowledge, Stopwatch()

    def counting(event: object) -> bool:
        done[0] += 1
        return acknowledge(event)

    app.acknowledge = counting
    async with asyncio.timeout(DEADLINE_SECONDS):
        while done[0] < events:
            watch.at(done[0])
            await asyncio.sleep(0.02)
    watch.at(done[0])
    return watch


async def measure(bootstrap: str, events: int) -> None:
    """Measure the bare loop, then the app, on the same new topics."""
    kafka = await fresh_topics(bootstrap, **PARTITIONS)
    await append(kafka, list(records(events)))
    say(f"a bare loop scores {events} events")
    loop = await bare(kafka, events)
    say("score does the same")
    stream = await score_all(kafka, events)
    figures = {
        "events": events,
        "stream_events_per_second": stream.rate(),
        "bare_events_per_second": loop.rate(),
        "ratio": stream.rate() / loop.rate(),
        "stream_cpu_ms_per_event": stream.cpu_ms(),
        "bare_cpu_ms_per_event": loop.cpu_ms(),
    }
    print(json.dumps(figures), flush=True)


def main(measured, bootstrap: str = "", events: str = "400") -> None:
    """Run a measurement on the broker at `bootstrap`, or on a new one."""
    if bootstrap:
        asyncio.run(measured(bootstrap, int(events)))
    else:
        with local_broker() as (broker, _):
            asyncio.run(measured(broker.bootstrap, int(events)))


if __name__ == "__main__":
    main(measure, *sys.argv[1:])
