"""The speed of a replay relative to the arrival rate of its log, with the shipped detectors.

``make bench PARTS=replay_rate ARGS="HOST:PORT 400"`` prints a JSON object for each detector; without ARGS it starts a broker. It measures
the capacity of the score app with all detectors. Then the app scores a log with a tenth of this event rate and one tick per second
on every partition. Each detector is replayed over this log and compared with the recorded verdicts.
"""

import json
import sys
import time

from support.events import tick
from support.kafka_log import fresh_topics

from bench.score_rate import PARTITIONS, append, main, records, score_all
from stream.replay.plan import ReplayRequest
from stream.replay.run import ReplaySettings, replay
from stream.replay.versions import Versions
from stream.settings import DetectorSettings, KafkaSettings, ScoreSettings, WatchSettings

SHARE = 10
DETECTORS = ("toxicity", "injection", "pii")


async def measure(bootstrap: str, events: int) -> None:
    """Measure each detector; `events` is the number of requests and answers in the log."""
    kafka = await fresh_topics(bootstrap, **PARTITIONS)
    await append(kafka, list(records(events)))
    capacity = (await score_all(kafka, events)).rate()
    kafka = await fresh_topics(bootstrap, **PARTITIONS)
    start = await scored_log(kafka, events, SHARE / capacity)
    settings = ReplaySettings(kafka=kafka, watch=WatchSettings(), score=ScoreSettings(), patterns={})
    known = Versions(DetectorSettings())
    for name in DETECTORS:
        request = ReplayRequest(
            detector=known.resolve(name),
            against=known.resolve(f"{name}@recorded"),
            since=start,
            until=time.time(),
            warm_up_seconds=0.0,
        )
        report = await replay(request, settings)
        figures = {
            "detector": name,
            "events": report.events.read,
            "capacity": capacity,
            "recorded": report.run.recorded_events_per_second,
            "replayed": report.run.events_per_second,
            "ratio": report.run.ratio,
            "differences": sum(map(len, (report.diff.appeared, report.diff.vanished, report.diff.moved))),
        }
        print(json.dumps(figures), flush=True)


async def scored_log(kafka: KafkaSettings, events: int, apart_seconds: float) -> float:
    """Write and score a log that ends now; return its start."""
    seconds = int(events * apart_seconds) + 1
    start = float(int(time.time()) - seconds - 1)
    ticks = [tick(start + second) for second in range(1, seconds + 1)]
    scored = records(events, start=start, apart_seconds=apart_seconds)
    await append(kafka, sorted([*scored, *ticks], key=lambda event: event.time))
    await score_all(kafka, events + len(ticks) * kafka.partitions)
    return start


if __name__ == "__main__":
    main(measure, *sys.argv[1:])
