"""The ranks of `Witness` on streams with a known change."""

import numpy as np
import pytest

from detectors.streams.witness import Witness

REFERENCE, EVENTS = 150, 400


def subjects(rng, shares, count):
    """Return `count` embeddings of subjects with the given shares, as an array (count, 96)."""
    centres = np.eye(96)[rng.choice(len(shares), size=count, p=shares)]
    vectors = centres + 0.12 * rng.normal(size=(count, 96))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def ranks(rng, reference, events):
    events, reference = events.astype(np.float16).astype(np.float32), reference.astype(np.float16).astype(np.float32)
    return Witness().scores(events, events @ reference.T, reference, rng.random(len(events)))


@pytest.mark.parametrize("texts", [None, 10], ids=["all differ", "ten texts"])
def test_without_a_change_all_ranks_are_equally_frequent(texts):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(20):
        vectors = subjects(rng, [0.2] * 5, REFERENCE + EVENTS)
        if texts is not None:
            vectors = vectors[rng.integers(texts, size=len(vectors))]
        found.append(ranks(rng, vectors[:REFERENCE], vectors[REFERENCE:]))
    shares = np.histogram(np.concatenate(found), bins=10, range=(0, 1))[0] / (20 * EVENTS)
    assert abs(shares - 0.1).max() < 0.02


def test_a_subject_that_becomes_more_frequent_has_high_ranks():
    rng = np.random.default_rng(1)
    reference = subjects(rng, [0.2] * 5, REFERENCE)
    changed = ranks(rng, reference, subjects(rng, [0.6, 0.1, 0.1, 0.1, 0.1], EVENTS))
    assert (changed > 0.75).mean() > 0.5


def test_ranks_of_single_events_equal_those_of_a_batch():
    rng = np.random.default_rng(2)
    vectors = subjects(rng, [0.2] * 5, REFERENCE + EVENTS).astype(np.float16).astype(np.float32)
    reference, events, ties = vectors[:REFERENCE], vectors[REFERENCE:], rng.random(EVENTS)
    similarities = np.stack([reference @ event for event in events])
    together, one_by_one = Witness(), Witness()
    found = together.scores(events, similarities, reference, ties)
    for index in range(EVENTS):
        one = slice(index, index + 1)
        assert one_by_one.scores(events[one], similarities[one], reference, ties[one])[0] == found[index]
        again = Witness()
        again.restore(one_by_one.snapshot())
        one_by_one = again
    assert one_by_one.snapshot() == together.snapshot()
