"""The speed of a replay relative to the arrival rate of its log, with the shipped detectors.

``make bench PARTS=replay_rate ARGS="HOST:PORT 400 0"`` prints a JSON object for each detector; without ARGS it starts a broker. It measures
the capacity of the score app with all detectors. Then the app scores a log with a tenth of that event rate and a tick a second
on every partition, and each detector is replayed over the log and compared with the recorded verdicts.
"""

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator

import msgspec

from bench.score_rate import append, records, score_all
from stream.kafka.admin import create_topics
from stream.replay.plan import ReplayRequest
from stream.replay.run import ReplaySettings, replay
from stream.replay.versions import Versions
from stream.settings import DetectorSettings, KafkaSettings, ScoreSettings, WatchSettings
from stream.wire import Event, Tick

__all__ = ["Figures", "measure"]

_SHARE = 10
_DETECTORS = ("toxicity", "injection", "pii")


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The measurement of one detector; rates are events a second, `ratio` is replayed divided by recorded."""

    detector: str
    events: int
    capacity: float
    recorded: float
    replayed: float
    ratio: float
    differences: int


async def measure(bootstrap: str, *, events: int = 400, seed: int = 0) -> AsyncIterator[Figures]:
    """Measure each detector on new topics; `events` are the requests and answers of each log."""
    capacity = await _capacity(bootstrap, events, seed)
    kafka, start = await _log(bootstrap, events, seed, _SHARE / capacity)
    settings = ReplaySettings(kafka=kafka, watch=WatchSettings(), score=ScoreSettings(), patterns={})
    known = Versions(DetectorSettings())
    for name in _DETECTORS:
        request = ReplayRequest(
            detector=known.resolve(name),
            against=known.resolve(f"{name}@recorded"),
            since=start,
            until=time.time(),
            warm_up_seconds=0.0,
        )
        report = await replay(request, settings)
        run, diff = report.run, report.diff
        assert run.recorded_events_per_second is not None
        assert run.ratio is not None
        yield Figures(
            detector=name,
            events=report.events.read,
            capacity=capacity,
            recorded=run.recorded_events_per_second,
            replayed=run.events_per_second,
            ratio=run.ratio,
            differences=len(diff.appeared) + len(diff.vanished) + len(diff.moved),
        )


async def _capacity(bootstrap: str, events: int, seed: int) -> float:
    kafka = await _topics(bootstrap)
    await append(kafka, list(records(events, seed)))
    return (await score_all(kafka, events)).rate()


async def _log(bootstrap: str, events: int, seed: int, apart_seconds: float) -> tuple[KafkaSettings, float]:
    """Write and score a log that ends now; return its settings and its start."""
    kafka = await _topics(bootstrap)
    seconds = int(events * apart_seconds) + 1
    start = float(int(time.time()) - seconds - 1)
    ticks = [_tick(start + second) for second in range(1, seconds + 1)]
    scored = records(events, seed, start=start, apart_seconds=apart_seconds)
    await append(kafka, sorted([*scored, *ticks], key=lambda event: event.time))
    await score_all(kafka, events + len(ticks) * kafka.partitions)
    return kafka, start


async def _topics(bootstrap: str) -> KafkaSettings:
    kafka = KafkaSettings(bootstrap_servers=bootstrap, topic_prefix=f"bench-{uuid.uuid4().hex[:8]}.")
    await create_topics(kafka.client_options(), kafka.topics())
    return kafka


def _tick(at: float) -> Event:
    return Event(id=f"bench/{at}", source="bench", type=Tick.event_type, time=at, data=Tick(sources={"bench": at}))


async def _print(bootstrap: str, events: str = "400", seed: str = "0") -> None:
    async for figures in measure(bootstrap, events=int(events), seed=int(seed)):
        sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_print(*sys.argv[1:]))
