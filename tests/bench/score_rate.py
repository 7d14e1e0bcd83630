"""The throughput of the score app and of a bare aiokafka loop with the same detectors on the same records.

``make bench PARTS=score_rate ARGS="HOST:PORT 400"`` prints one JSON object; without ARGS it starts a broker. The bare loop reads,
decodes and scores in its own process; the app also publishes verdicts, findings and signals, waits for them, and commits.
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
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from stream.kafka.admin import create_topics
from stream.kafka.clients import consumer_for, producer_for
from stream.kafka.log_reader import partitions_of
from stream.runtime.app import BaseApp
from stream.settings import DetectorSettings, KafkaSettings, ScoreSettings, WatchSettings
from stream.stages.score.machine import item_of
from stream.stages.score.model_process import Item, ModelProcess
from stream.stages.score_app import create_app, model_spec
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

__all__ = ["Figures", "Stopwatch", "append", "measure", "records", "score_all"]

_WORDS = [
    "the", "a", "of", "and", "to", "in", "recipe", "garden", "river", "train", "music", "winter", "because",
    "while", "quickly", "slowly", "green", "old", "small", "please", "explain", "write", "translate", "summary",
    "question", "answer", "city", "mountain", "number", "letter", "garage", "engine", "cook", "bread", "water",
    "light", "table", "window",
]  # fmt: skip
_DEADLINE_SECONDS = 600.0


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The measurement; CPU is that of the reading process, without the model process of the app."""

    events: int
    stream_events_per_second: float
    bare_events_per_second: float
    ratio: float
    stream_cpu_ms_per_event: float
    bare_cpu_ms_per_event: float


async def measure(bootstrap: str, *, events: int = 400, seed: int = 0) -> Figures:
    """Measure both on new topics, the bare loop first; half of the `events` are requests, half answers."""
    kafka = KafkaSettings(bootstrap_servers=bootstrap, topic_prefix=f"bench-{uuid.uuid4().hex[:8]}.")
    await create_topics(kafka.client_options(), kafka.topics())
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
    """A stopwatch that starts after the first events, which include one-time costs."""

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
        """Return events a second."""
        assert self._began is not None
        return (self._last - self._first) / (self._ended[0] - self._began[0])

    def cpu_ms(self) -> float:
        """Return CPU milliseconds for each event."""
        assert self._began is not None
        return 1000 * (self._ended[1] - self._began[1]) / (self._last - self._first)


def records(count: int, seed: int, *, start: float = 1_700_000_000.0, apart_seconds: float = 1.0) -> Iterator[Event]:
    """Yield events with distinct texts of 10 to 60 words, some with personal data, from `start` on."""
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


async def append(kafka: KafkaSettings, events: Sequence[Event]) -> None:
    """Write to inference; an event without a key, a tick, to every partition."""
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


async def _bare(kafka: KafkaSettings, events: int) -> Stopwatch:
    """Measure reading, decoding and scoring."""
    engine = ModelProcess(model_spec(DetectorSettings(), ScoreSettings()))
    await asyncio.to_thread(engine.load)
    async with consumer_for(kafka.client_options(), auto_offset_reset="earliest") as consumer:
        consumer.assign(partitions_of({kafka.names.inference: kafka.partitions}))
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
    return item_of(event.data, embed=True)


async def score_all(kafka: KafkaSettings, events: int) -> Stopwatch:
    """Run the app over `events` records and measure it up to their acknowledgement."""
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
            return await _acknowledged(app, events)
        finally:
            await app.stop()


async def _acknowledged(app: BaseApp, events: int) -> Stopwatch:
    """Measure the app from the first acknowledged event to the last."""
    done, acknowledge, watch = [0], app.acknowledge, Stopwatch()

    def counting(event: object) -> bool:
        done[0] += 1
        return acknowledge(event)

    app.acknowledge = counting  # type: ignore[method-assign] # counts the calls
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while done[0] < events:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{done[0]} of {events} events were scored within {_DEADLINE_SECONDS:.0f} s")
        watch.at(done[0])
        await asyncio.sleep(0.02)
    watch.at(done[0])
    return watch


def _main(bootstrap: str, events: str = "400") -> None:
    figures = asyncio.run(measure(bootstrap, events=int(events)))
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
