"""The cost of an event for the `drift` detector, without its embedding.

``make bench PARTS=update``: 6,000 events in buckets of 30, a daily cycle, no alarm, one thread. The first 600
are the reference and are not timed; processor time of the rest a round. The digest is of all findings and the state at the end:
the same in every round, and in every version that decides alike.
"""

import argparse
import hashlib
import statistics
import time

import numpy as np

from detectors.base import Observation
from detectors.registry import create_stream

EVENTS, BUCKET, WARM = 6_000, 30, 600
SECONDS_APART = 5


def observations(seed: int) -> list[Observation]:
    """Return events of eight clusters; some without an embedding, some in conversations."""
    generator = np.random.default_rng(seed)
    clusters = generator.normal(size=(8, 96)).astype(np.float32)
    events = []
    for number in range(EVENTS):
        vector = clusters[generator.integers(8)] + 0.7 * generator.normal(size=96).astype(np.float32)
        vector /= np.linalg.norm(vector)
        events.append(
            Observation(
                id=f"r{number}/request",
                time=1000.0 + number * SECONDS_APART,
                features={"characters": float(generator.integers(5, 400)), "words": float(generator.integers(1, 90))},
                embedding=None if generator.random() < 0.03 else vector.astype("<f2").tobytes(),
                embedding_version="m1",
                conversation=f"c{number // 3}" if number % 4 == 0 else "",
            )
        )
    return events


def measure(buckets: list[list[Observation]]) -> tuple[float, str]:
    """Return microseconds of processor time an event, and the digest of the findings and the state."""
    detector, digest = create_stream("drift", {}), hashlib.sha256()
    for bucket in buckets[: WARM // BUCKET]:
        detector.update_many(bucket)
    begun = time.process_time()
    findings = [detector.update_many(bucket) for bucket in buckets[WARM // BUCKET :]]
    spent = time.process_time() - begun
    digest.update(repr(findings).encode() + detector.snapshot())
    return spent / (EVENTS - WARM) * 1e6, digest.hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    events = observations(options.seed)
    buckets = [events[at : at + BUCKET] for at in range(0, EVENTS, BUCKET)]
    spent, digests = zip(*(measure(buckets) for _ in range(options.rounds)), strict=True)
    print(
        f"{min(spent):.1f} us an event at least, median {statistics.median(spent):.1f}; {' '.join(sorted(set(digests)))}"
    )


if __name__ == "__main__":
    main()
