"""Updates with many events at once: the state equals that of single updates to the last bit."""

import numpy as np
import pytest

from detectors.base import Observation
from detectors.registry import create_stream
from detectors.streams.monitor import Budget, Feature, Inputs, Monitor

SIZES = (1, 2, 7, 30, 200, 900)
#: After each bucket of this size, the detector is restored from its snapshot.
RESTARTS = 7


def traffic(count=900, seed=3):
    """Return events of all special kinds: missing and invalid embeddings, conversations, missing values, and a shift
    that raises alarms.
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(6, 96))
    events = []
    for number in range(count):
        shifted = 420 <= number < 520
        vector = centres[rng.integers(3) + (3 if shifted else 0)] + 0.7 * rng.normal(size=96)
        data = (vector / np.linalg.norm(vector)).astype("<f2").tobytes()
        odd = rng.random()
        data = None if odd < 0.03 else b"\0" if odd < 0.04 else b"\0\x7c" * 96 if odd < 0.05 else data
        features = {
            "characters": float(rng.integers(5, 400) * (9 if shifted else 1)),
            "words": float(rng.integers(1, 60)),
        }
        features |= {
            "latency_seconds": float(rng.lognormal()) * (8 if shifted else 1),
            "error": float(rng.random() < 0.02),
        }
        if odd > 0.97:
            features = {"words": float("nan"), "prompt_tokens": 7.0}
        version = "m2" if number % 97 == 5 or number > 780 else "m1"
        conversation = (f"c{number // 4}", "always", "")[number % 3]
        events.append(
            Observation(
                id=f"e{number}", time=1_000.0 + 37.0 * number, features=features, embedding=data,
                embedding_version=version, conversation=conversation, principal=f"k{number % 3}",
            )
        )  # fmt: skip
    return events


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("drift", {}),
        ("drift", {"daily_cycle": False, "neighbours": 10}),
        ("drift", {"topics": 0, "neighbours": 1, "conversation_events": 0}),
        ("drift", {"alarm_every_days": 2.0}),
        ("drift", {"features": []}),
        ("anomaly", {}),
        ("anomaly", {"daily_cycle": False}),
    ],
    ids=str,
)
def test_the_state_depends_neither_on_the_size_of_a_bucket_nor_on_restarts(name, options):
    options = {"reference_events": 60, "alarm_every_events": 500} | options
    if "alarm_every_days" in options:
        del options["alarm_every_events"]
    events, states, alarms = traffic(), {}, {}
    for size in SIZES:
        detector = create_stream(name, options)
        told = []
        for at in range(0, len(events), size):
            told.append(detector.update_many(events[at : at + size]))
            if size == RESTARTS:
                state = detector.snapshot()
                detector = create_stream(name, options)
                detector.restore(state)
        states[size], alarms[size] = detector.snapshot(), any(one is not None and one.alarm for one in told)
    assert len(set(states.values())) == 1
    assert alarms[1], "the events raise an alarm"


class CountedSlices(list):
    """A list that counts the elements of its slices."""

    copied = 0

    def __getitem__(self, index):
        found = super().__getitem__(index)
        if isinstance(index, slice):
            self.copied += len(found)
        return found


@pytest.mark.parametrize(
    ("measured", "budget"),
    [
        (1, Budget(limit=1_000.0, daily=False)),
        (2, Budget(limit=1_000.0, daily=False)),
        (2, Budget(limit=1_000.0, daily=False, days=True)),
    ],
    ids=["a feature is never measured", "all features are measured", "a budget in days"],
)
def test_the_copied_events_of_a_bucket_are_linear_in_its_events(measured, budget):
    count = 3_000
    monitor = Monitor({name: Feature(share=0.5, tails=1, warm_up=20) for name in "ab"}, budget)
    scores = np.full((count, 2), np.nan)
    scores[:, :measured] = np.random.default_rng(0).random((count, measured))
    events = CountedSlices(Observation(id=f"e{number}", time=float(number), features={}) for number in range(count))
    monitor.update_many(Inputs(events, [True] * count, scores, [(0.5, 0.5)] * count))
    assert monitor.events == count
    assert events.copied <= 20 * count
