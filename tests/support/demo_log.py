"""The records that score publishes for traffic like the demo's, with synthetic embeddings."""

import random

import numpy as np

from support.signal_log import finding_of, score_tick, signal_event

TENANT = "demo-abc123"
START = 1_800_000_000.0


def embeddings(seed):
    """Return a function that returns a packed embedding, of one of five clusters or of a new cluster."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(6, 96))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)

    def make(new):
        centre = centres[5] if new else centres[rng.integers(0, 5)]
        vector = centre + 0.06 * rng.normal(size=96)
        return (vector / np.linalg.norm(vector)).astype("<f2").tobytes()

    return make


def demo_log(seed, *, ordinary=64, odd=13, new=73, seconds=75.0, keys=4, flood=False, partitions=2, start=START):
    """Return score's records for the demo's traffic; ticks follow a second later, and continue after its end."""
    random_, embed = random.Random(seed), embeddings(seed)
    total = ordinary + odd + new
    timed = []
    for number in range(total):
        time = start + seconds * number / total
        phase = "ordinary" if number < ordinary else "odd" if number < ordinary + odd else "new"
        principal = "k0" if flood and phase != "ordinary" else f"k{number % keys}"
        where = {"tenant": TENANT, "principal": principal}
        features = {"characters": random_.gauss(60, 15), "words": random_.gauss(11, 3)}
        request = signal_event(f"r{number}", time, features=features, embedding=embed(phase == "new"), **where)
        timed.append((time, request))
        if phase == "odd":
            detector = ("pii", "toxicity", "injection")[number % 3]
            timed.append((time, finding_of(f"r{number}", time, detector, **where)))
        end = time + 0.8
        measured = {"characters": random_.gauss(70, 10), "words": 12.0, "latency_seconds": random_.gauss(0.8, 0.1)}
        answer = signal_event(
            f"r{number}", end, side="output", features=measured, embedding=embed(phase == "new"), **where
        )
        timed.append((end, answer))
    timed += [
        (start + second + 1.0, score_tick(partition, {"gateway": start + float(second)}))
        for second in range(int(seconds) + 40)
        for partition in range(partitions)
    ]
    return [event for _, event in sorted(timed, key=lambda pair: pair[0])]
