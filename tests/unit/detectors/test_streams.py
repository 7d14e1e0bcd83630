"""Drift and anomaly on streams whose change is known."""

import numpy as np
import pytest

from detectors.base import Observation
from detectors.registry import create_stream

FAST = {"reference_events": 40, "alarm_every_events": 1000}


def embedding(rng, topic):
    vector = np.zeros(96)
    vector[topic] = 1.0
    vector += 0.12 * rng.normal(size=96)
    return (vector / np.linalg.norm(vector)).astype("<f2").tobytes()


def prompts(rng, topics, count, tag, characters=40):
    return [
        Observation(
            id=f"{tag}{index}",
            time=float(index),
            features={"characters": float(rng.poisson(characters)), "words": float(rng.poisson(8))},
            embedding=embedding(rng, topics[index % len(topics)]),
        )
        for index in range(count)
    ]


def first_alarm(detector, events):
    for index, event in enumerate(events):
        finding = detector.update_many([event])
        if finding is not None and finding.alarm:
            return index + 1, finding
    return None, None


@pytest.mark.parametrize("seed", range(5))
def test_a_new_topic_is_told_soon_and_by_name(seed):
    rng = np.random.default_rng(seed)
    detector = create_stream("drift", FAST | {"alarm_every_events": 10_000})
    assert first_alarm(detector, prompts(rng, [0, 1, 2], 100, "a")) == (None, None)
    delay, finding = first_alarm(detector, prompts(rng, [7], 60, "b"))
    assert delay is not None
    assert delay <= 15
    assert finding.feature == "embedding"
    assert finding.details["changed_events_ago"] >= delay - 3


def test_the_alarm_lasts_as_long_as_the_change_and_then_clears():
    rng = np.random.default_rng(0)
    detector = create_stream("drift", FAST)
    events = prompts(rng, [0, 1], 100, "a") + prompts(rng, [7], 200, "b") + prompts(rng, [0, 1], 60, "c")
    alarms = [
        f is not None and f.alarm for f in (detector.update_many(events[i : i + 5]) for i in range(0, len(events), 5))
    ]
    first = alarms.index(True)
    assert 20 <= first <= 24
    assert all(alarms[first:60])
    assert not any(alarms[-5:])


def test_longer_prompts_are_told_with_the_size_of_the_change():
    rng = np.random.default_rng(1)
    detector = create_stream("drift", FAST)
    assert first_alarm(detector, prompts(rng, [0, 1], 100, "a")) == (None, None)
    delay, finding = first_alarm(detector, prompts(rng, [0, 1], 60, "b", characters=400))
    assert delay is not None
    assert finding.feature == "characters"
    assert finding.details["recent_mean"] > 2 * finding.details["reference_mean"]


def test_an_embedding_of_another_version_is_not_compared():
    rng = np.random.default_rng(2)
    detector = create_stream("drift", FAST)
    first_alarm(detector, prompts(rng, [0], 100, "a"))
    before = detector.snapshot()
    detector.update_many([Observation(id="x", time=0.0, features={}, embedding=b"\0\0" * 50)])
    detector.update_many([])
    assert len(detector.snapshot()) == pytest.approx(len(before), abs=40)


def answers(rng, count, tag, latency=1.0, failing=0.01):
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


@pytest.mark.parametrize(("change", "feature"), [({"latency": 5.0}, "latency_seconds"), ({"failing": 0.6}, "error")])
def test_slow_or_failing_answers_are_told(change, feature):
    rng = np.random.default_rng(3)
    detector = create_stream("anomaly", FAST)
    assert first_alarm(detector, answers(rng, 150, "a")) == (None, None)
    delay, finding = first_alarm(detector, answers(rng, 60, "b", **change))
    assert delay is not None
    assert delay <= 20
    assert finding.feature == feature


def test_faster_answers_are_no_anomaly():
    rng = np.random.default_rng(4)
    detector = create_stream("anomaly", FAST)
    first_alarm(detector, answers(rng, 150, "a"))
    assert first_alarm(detector, answers(rng, 60, "b", latency=0.2)) == (None, None)
