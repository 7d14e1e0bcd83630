"""Figures of the stream detectors: how long until a change is told, and how often one is told that is none."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detectors.base import Observation
from detectors.evaluate.nulls import Clustered, Exchangeable
from detectors.evaluate.run_length import run_lengths
from detectors.models.embedding import Embedder, pack
from detectors.registry import create_stream
from detectors.streams.monitor import Budget
from detectors.train.datasets import clinc_domains

__all__ = ["anomaly", "drift"]

Row = dict[str, Any]


def _delay(before: Sequence[bytes], after: Sequence[bytes], config: dict[str, object], tag: str) -> int | None:
    """Return the events until the alarm: negative before the change, None if there is none."""
    detector = create_stream("drift", config)
    for index, embedding in enumerate([*before, *after]):
        bucket = [Observation(id=f"{tag}-{index}", time=float(index), features={}, embedding=embedding)]
        finding = detector.update_many(bucket)
        if finding is not None and finding.alarm:
            return index + 1 - len(before)
    return None


def _row(data: str, delays: Sequence[int | None]) -> Row:
    never = 1 << 30
    right = sorted(never if delay is None else delay for delay in delays if delay is None or delay > 0)
    median, ninth = (right[len(right) // 2], right[int(0.9 * len(right))]) if right else (never, never)
    return {
        "detector": "drift",
        "data": data,
        "runs": len(delays),
        "delay_median": median if median < never else None,
        "delay_p90": ninth if ninth < never else None,
        "missed": sum(delay is None for delay in delays),
        "too_early": sum(delay is not None and delay <= 0 for delay in delays),
    }


def drift(root: Path, runs: int, seed: int, limit: int = 1000, reference: int = 40) -> list[Row]:
    """Switch of domain on CLINC and MT-Bench, streams without a change, and the run length of exchangeable ranks."""
    embedder = Embedder()
    embedder.load()
    rng = random.Random(seed)  # noqa: S311 - a reproducible sample
    domains = {name: rng.sample(texts, min(300, len(texts))) for name, texts in clinc_domains(root).items()}
    packed = {name: [pack(vector) for vector in embedder.embed_many(texts)] for name, texts in domains.items()}
    config: dict[str, object] = {"alarm_every_events": limit, "reference_events": reference}
    rows = []
    for extra in (0, 60):
        delays = []
        for run in range(runs):
            first, second, other = rng.sample(sorted(packed), 3)
            before = rng.sample(packed[first] + packed[second], reference + extra)
            delays.append(_delay(before, rng.sample(packed[other], 100), config, f"{extra}-{run}"))
        rows.append(_row(f"CLINC, two domains to a third, {extra} events after the reference", delays))
    nulls = []
    everything = [embedding for group in packed.values() for embedding in group]
    for run in range(runs):
        sample = rng.sample(everything, reference + 500)
        nulls.append(_delay(sample, [], config, f"null-{run}"))
    alarms = sum(delay is not None for delay in nulls)
    rows.append(
        {
            "detector": "drift",
            "data": "CLINC shuffled, 500 events: runs with an alarm",
            "runs": runs,
            "too_early": alarms,
        }
    )
    rows.append(_bench(root, embedder, config))
    for stream, kind in ((Exchangeable(), "exchangeable"), (Clustered(seed, runs), "conversations of five")):
        lengths = run_lengths(stream, Budget(limit=limit), runs=runs, seed=seed)
        data = f"{kind}, N = {limit}, reference 200: mean run length / N"
        rows.append({"detector": "drift", "data": data, "runs": runs, "run_length": float(np.mean(lengths)) / limit})
    return rows


def _bench(root: Path, embedder: Embedder, config: dict[str, object]) -> Row:
    with (root / "traffic/mtbench_prompts.jsonl").open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    coding = [record["turns"][0] for record in records if record["category"] == "coding"]
    prose = [
        r["turns"][0] for r in records if r["category"] in {"writing", "roleplay", "humanities", "stem", "extraction"}
    ]
    before = [pack(vector) for vector in embedder.embed_many(prose)]
    after = [pack(vector) for vector in embedder.embed_many(coding)] * 4
    rng = random.Random(0)  # noqa: S311 - a reproducible order
    delays = [_delay(rng.sample(before, len(before)), after, config, f"bench-{run}") for run in range(5)]
    return _row("MT-Bench, prose to coding", delays)


#: What changes: factor of the latency, factor of the tokens, share of answers that are errors.
_ANOMALIES = {
    "latency three times as long": (3.0, 1.0, 0.01),
    "latency half as long again": (1.5, 1.0, 0.01),
    "answers of three times as many tokens": (1.0, 3.0, 0.01),
    "answers of half as many tokens": (1.0, 0.5, 0.01),
    "one in three fails": (1.0, 1.0, 0.33),
    "one in ten fails": (1.0, 1.0, 0.1),
}
_USUAL = (1.0, 1.0, 0.01)
_BEFORE, _AFTER = 300, 400


def anomaly(runs: int, seed: int, limit: int = 1000, reference: int = 100) -> list[Row]:
    """Latencies, tokens and errors that change after 300 ordinary events, and how rare false alarms are on 3 N events without a change."""
    config: dict[str, object] = {"alarm_every_events": limit, "reference_events": reference}
    rows: list[Row] = []
    for data, change in _ANOMALIES.items():
        told = [_told(config, [seed, run], (_USUAL, _BEFORE), (change, _AFTER)) for run in range(runs)]
        delays = [None if event is None else event - _BEFORE for event in told]
        rows.append(_row(f"N = {limit:,}: {data}", delays) | {"detector": "anomaly"})
    told = [_told(config, [seed, run], (_USUAL, reference + 3 * limit)) for run in range(runs)]
    watched = sum(3 * limit if event is None else event - reference for event in told)
    alarms = sum(event is not None for event in told)
    every = watched / max(1, alarms)
    rows.append(
        {
            "detector": "anomaly",
            "data": f"N = {limit:,}, no change: events to a false alarm / N ({alarms} alarms)",
            "runs": runs,
            "run_length": every / limit,
        }
    )
    return rows


def _told(config: dict[str, object], seed: Sequence[int], *parts: tuple[tuple[float, float, float], int]) -> int | None:
    """Return the events until the alarm of a stream of so many events of each kind, None if there is none."""
    rng, detector = np.random.default_rng(seed), create_stream("anomaly", config)
    kinds = [kind for kind, count in parts for _ in range(count)]
    for index, (slower, longer, failing) in enumerate(kinds):
        features = {
            "latency_seconds": float(rng.lognormal(0, 0.5)) * slower,
            "error": float(rng.random() < failing),
            "completion_tokens": float(rng.integers(5, 100)) * longer,
        }
        name = "-".join(map(str, (*seed, index)))
        finding = detector.update_many([Observation(id=name, time=float(index), features=features)])
        if finding is not None and finding.alarm:
            return index + 1
    return None
