"""Unreadable embeddings, and drift after another version of the embedding model."""

import numpy as np
import pytest

from detectors.base import Observation
from detectors.registry import create_stream

FAST = {"reference_events": 40, "alarm_every_events": 1000}


def sent(rng, count, version=""):
    vectors = rng.normal(size=(count, 96))
    packed = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f2")
    return [
        Observation(id=f"{version}{n}", time=0.0, features={}, embedding=one.tobytes(), embedding_version=version)
        for n, one in enumerate(packed)
    ]


@pytest.mark.parametrize(
    ("embedding", "at"),
    [(b"\0\0" * 50, 1), (b"\0" * 191, 0), (b"\0\x7e" * 96, 0)],
    ids=["another length", "an odd length", "NaN"],
)
def test_an_unreadable_embedding_counts_as_none(embedding, at):
    events = sent(np.random.default_rng(2), 100)
    states = []
    for given in (embedding, None):
        bad = Observation(id="x", time=0.0, features={}, embedding=given)
        detector = create_stream("drift", FAST)
        for part in (events[:at], [bad], events[at:], [bad, events[0], bad]):
            detector.update_many(part)
        states.append(detector.snapshot())
    assert states[0] == states[1]


def test_twenty_embeddings_of_another_version_in_a_row_begin_a_reference():
    rng = np.random.default_rng(10)
    detector = create_stream("drift", FAST)
    old = sent(rng, 100)
    new = sent(rng, 20, "2")
    detector.update_many(old)
    first = detector.reference()
    assert first.centres is not None
    for part in (new[:19], old[:1], new[:19]):
        detector.update_many(part)
        assert detector.reference() == first
    detector.update_many(new[19:])
    assert detector.reference()[:3] == ((new[19].embedding,), first.size, None)


@pytest.mark.parametrize("seed", [27, 38])
def test_an_alarm_soon_after_another_version_of_the_embedding_ends_with_its_cause(seed):
    """With a small reference, embeddings of the old version are still among the last observations."""
    rng = np.random.default_rng(seed)
    options = {"alarm_every_events": 1000, "reference_events": 20, "features": [], "daily_cycle": False}
    detector = create_stream("drift", options)

    def send(version, count, shift=0.0):
        for index in range(0, count, 10):
            vectors = rng.normal(size=(10, 96)) + shift
            packed = [(vector / np.linalg.norm(vector)).astype("<f2").tobytes() for vector in vectors]
            finding = detector.update_many(
                [
                    Observation(
                        id=f"{version}{index}{n}", time=0.0, features={}, embedding=one, embedding_version=version
                    )
                    for n, one in enumerate(packed)
                ]
            )
        return finding

    shift = rng.normal(size=96) * 2
    send("1", 300)
    send("2", 60)
    assert send("2", 60, shift).alarm
    assert not send("2", 300).alarm
