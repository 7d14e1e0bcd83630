"""Drift after another version of the embedding model."""

import numpy as np
import pytest

from detectors.base import Observation
from detectors.registry import create_stream


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
