"""Print the figures of the alarm budget: ``python -m detectors.evaluate.alarms budget | changes | patience``.

``budget`` simulates run lengths (`detectors.evaluate.budget`), ``changes`` compares delays with windowed MMD and river's
detectors on CLINC's domains (`detectors.evaluate.changes`), ``patience`` watches many streams (`detectors.evaluate.patience`).
"""

import argparse
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detectors.evaluate.budget import Clustered, Cycle, Exchangeable, Null, run_lengths
from detectors.evaluate.changes import compare
from detectors.evaluate.patience import patience
from detectors.monitor import Budget

__all__ = ["STREAMS", "main"]

#: By name: the stream, for a seed and so many runs, and whether values are ranked by time of the day and conversations once.
STREAMS: Mapping[str, tuple[Callable[[int, int], Null], bool, int]] = {
    "exchangeable, daily_cycle off": (lambda _seed, _runs: Exchangeable(), False, 512),
    "exchangeable": (lambda _seed, _runs: Exchangeable(), True, 512),
    "conversations of five, daily_cycle off": (Clustered, False, 512),
    "conversations of five": (Clustered, True, 512),
    "conversations of five, each message counted": (Clustered, False, 0),
    "daily cycle, 10,000 events a day": (lambda _seed, _runs: Cycle(10_000), True, 512),
    "daily cycle, 1,000 events a day": (lambda _seed, _runs: Cycle(1_000), True, 512),
    "daily cycle, 10,000 events a day, daily_cycle off": (lambda _seed, _runs: Cycle(10_000), False, 512),
}


def _budget(given: argparse.Namespace) -> None:
    for name, (make, daily, conversation_events) in STREAMS.items():
        if given.only and given.only not in name:
            continue
        budget = Budget(limit=given.limit, daily=daily, conversation_events=conversation_events)
        began = time.process_time()
        lengths = run_lengths(make(given.seed, given.runs), budget, runs=given.runs, seed=given.seed) / given.limit
        error = lengths.std() / np.sqrt(given.runs)
        took = time.process_time() - began
        _say(f"{name}: mean run length {lengths.mean():.3f} N (standard error {error:.3f}), {took:.0f} s of one core")


def _changes(given: argparse.Namespace) -> None:
    for row in compare(_vectors(given.data, given.texts), given.limit, given.runs, given.seed):
        numbers = ", ".join(f"{key} {value:.4g}" for key, value in row.items() if key not in {"detector", "data"})
        _say(f"{row['data']}: {numbers}")


def _vectors(root: Path, texts: int) -> dict[str, NDArray[np.float32]]:
    from detectors.embedding import Embedder, pack, unpack  # noqa: PLC0415 - torch takes seconds to import
    from detectors.train.data import clinc_domains  # noqa: PLC0415 - as above

    embedder, rng = Embedder(threads=1), random.Random(0)  # noqa: S311 - a reproducible sample
    embedder.load()
    chosen = {name: rng.sample(own, min(texts, len(own))) for name, own in sorted(clinc_domains(root).items())}
    return {
        name: np.stack([unpack(pack(vector)) for vector in embedder.embed_many(own)]) for name, own in chosen.items()
    }


def _patience(given: argparse.Namespace) -> None:
    changed = given.streams // 20
    for row in patience(streams=given.streams, changed=changed, limit=given.limit, rounds=given.runs, seed=given.seed):
        numbers = ", ".join(f"{key} {value:.4g}" for key, value in row.items() if key not in {"detector", "data"})
        _say(f"{row['data']}: {numbers}")


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=("budget", "changes", "patience"))
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--limit", type=int, default=1000, help="N, the budget: events between two false alarms")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="budget: streams whose name holds this")
    parser.add_argument("--streams", type=int, default=1000, help="patience: how many")
    parser.add_argument("--data", type=Path, help="changes: folder with drift/clinc_*.json.gz")
    parser.add_argument("--texts", type=int, default=700, help="changes: texts of a domain")
    given = parser.parse_args()
    if given.table == "changes" and given.data is None:
        parser.error("changes wants --data DIR, with drift/clinc_data_full.json.gz and drift/clinc_domains.json.gz")
    {"budget": _budget, "changes": _changes, "patience": _patience}[given.table](given)
    _say(f"N = {given.limit}, {given.runs} runs, seed {given.seed}")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what this program is for


if __name__ == "__main__":
    main()
