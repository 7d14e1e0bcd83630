"""Observations of answers with random latencies, tokens and errors."""

from detectors.base import Observation


def answers(rng, count, tag, latency=1.0, failing=0.01):
    """Return `count` answers with ids that begin with `tag`: `failing` is the share of errors, `latency` a factor."""
    return [
        Observation(
            id=f"{tag}{index}",
            time=float(index),
            features={
                "latency_seconds": float(rng.lognormal(0, 0.3)) * latency,
                "completion_tokens": float(rng.integers(5, 100)),
                "error": float(rng.random() < failing),
            },
        )
        for index in range(count)
    ]
