"""The state of a stream, which fits into one Kafka record with any options, and the memory for a large window."""

import tracemalloc

import numpy as np
import pytest

from detectors.base import Observation
from detectors.errors import ConfigError
from detectors.registry import STREAM, create_stream
from detectors.streams.tool_mix import tool_features

#: Largest record of a stage (`stream.runtime.app`).
RECORD = 2 * 1024 * 1024
LARGEST = {"topics": 64, "conversation_events": 2_000}
FEATURES = (
    "characters",
    "words",
    "latency_seconds",
    "time_to_first_token_seconds",
    "prompt_tokens",
    "completion_tokens",
)


def answers(count):
    rng = np.random.default_rng(0)
    for index in range(count):
        yield Observation(
            id=str(index),
            time=index * 40.0,
            principal="k",
            conversation=f"c{index}",
            embedding=rng.normal(size=96).astype("<f2").tobytes(),
            features={name: float(rng.lognormal(4.0)) for name in FEATURES} | {"error": 0.0} | tool_features(["a"]),
        )


def test_the_largest_references_of_a_stream_fit_into_one_record():
    size = 0
    for name in ("anomaly", "drift", "tool_mix"):
        known = STREAM[name].config_type.__struct_fields__
        options = {option: value for option, value in LARGEST.items() if option in known}
        detector = create_stream(name, options | {"reference_events": 2_000})
        detector.update_many(list(answers(1_999)))
        size += len(detector.snapshot())
    assert size < RECORD


@pytest.mark.parametrize("name", ["anomaly", "drift", "sentinel", "tool_mix"])
def test_a_larger_reference_is_an_error(name):
    with pytest.raises(ConfigError, match="<= 2000"):
        create_stream(name, {"reference_events": 2_001})


def test_a_window_with_many_events_needs_no_more_memory_than_a_small_one():
    """A window of an hour can have 50,000 events. Each event is compared with all embeddings of the reference."""
    detector, events = create_stream("drift", {"reference_events": 300}), list(answers(6_000))
    detector.update_many(events[:1_000])
    tracemalloc.start()
    detector.update_many(events[1_000:])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12_000_000
