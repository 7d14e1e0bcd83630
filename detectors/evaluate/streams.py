"""Figures of the stream detectors: how long until a change is told, and how often one is told that is none."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detectors.base import Observation
from detectors.embedding import Embedder, pack
from detectors.evaluate.budget import Clustered, Exchangeable, run_lengths
from detectors.monitor import Budget
from detectors.registry import create_stream
from detectors.train.data import clinc_domains

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


def anomaly(runs: int, seed: int) -> list[Row]:
    """Latency times three, and one answer in three an error, after 300 ordinary events (log-normal latencies)."""
    rows: list[Row] = []
    for data, slower, failing in (
        ("latency three times as long", 3.0, 0.01),
        ("one in three fails", 1.0, 0.33),
        ("no change", 1.0, 0.01),
    ):
        delays = []
        for run in range(runs):
            rng = np.random.default_rng([seed, run])
            detector = create_stream("anomaly", {"alarm_every_events": 1000, "reference_events": 100})
            told = None
            for index in range(500):
                changed = index >= 300
                latency = float(rng.lognormal(0, 0.5)) * (slower if changed else 1.0)
                error = float(rng.random() < (failing if changed else 0.01))
                features = {
                    "latency_seconds": latency,
                    "error": error,
                    "completion_tokens": float(rng.integers(5, 100)),
                }
                finding = detector.update_many([Observation(id=f"{run}-{index}", time=float(index), features=features)])
                if finding is not None and finding.alarm:
                    told = index + 1 - 300
                    break
            delays.append(told)
        rows.append(_row(f"N = 1,000: {data}", delays) | {"detector": "anomaly"})
    return rows
