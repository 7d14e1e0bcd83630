"""The sentinel detector: another model raises an alarm within two rounds, and answers that always varied raise none."""

import numpy as np
import pytest

from detectors.base import Observation
from detectors.streams.sentinel import PROMPTS, SentinelConfig, SentinelDetector

NAMES = [f"sentinel/1/{name}" for name in "abcdefgh"]


def unit(seed):
    vector = np.random.default_rng(seed).normal(size=96)
    return vector / np.linalg.norm(vector)


class Model:
    """A model with one answer to each prompt; a prompt in `loose` gets one of four answers at random."""

    def __init__(self, name, loose=()):
        self.name = name
        self.loose = loose
        self.asked = 0
        self.rng = np.random.default_rng(list(name.encode()))

    def answers(self, count, names=NAMES):
        return [self.answer(names[self.asked % len(names)]) for _ in range(count)]

    def answer(self, prompt):
        way = int(self.rng.integers(4)) if prompt in self.loose else 0
        seed = [NAMES.index(prompt) if prompt in NAMES else 99, way, *self.name.encode()]
        self.asked += 1
        features = {"characters": 40.0, "completion_tokens": 32.0, "score_refusal": 0.03}
        packed = unit(seed).astype("<f2").tobytes()
        identity = f"{self.name}-{self.asked}"
        return Observation(id=identity, time=float(self.asked), features=features, embedding=packed, prompt=prompt)


def feed(detector, observations):
    return [detector.update_many([one]) for one in observations]


def alarms(findings):
    return [number for number, finding in enumerate(findings) if finding is not None and finding.alarm]


def learned(model, count=200, **config):
    detector = SentinelDetector(SentinelConfig(alarm_every_events=1000, **config))
    assert alarms(feed(detector, model.answers(count))) == []
    return detector


@pytest.mark.parametrize("loose", [(), tuple(NAMES[:2])])
def test_another_model_raises_an_alarm_within_two_rounds(loose):
    detector = learned(Model("first", loose))
    findings = feed(detector, Model("second", loose).answers(16))
    assert alarms(findings)
    told = findings[alarms(findings)[0]]
    assert told.feature == "embedding"
    assert told.details["prompts"] == 8
    assert told.details["prompts_moved"] >= 4


def test_prompts_whose_answers_always_varied_are_no_change():
    detector = learned(Model("first", tuple(NAMES[:3])), 600)
    assert not detector.update_many([]).alarm


def test_the_former_model_clears_the_alarm():
    first = Model("first")
    detector = learned(first)
    assert alarms(feed(detector, Model("second").answers(24)))
    findings = feed(detector, first.answers(160))
    assert not findings[-1].alarm


def test_a_lasting_change_becomes_the_new_reference():
    detector, second = learned(Model("first"), adopt_events=40), Model("second")
    findings = feed(detector, second.answers(80))
    assert alarms(findings)
    assert findings[-1] is None  # the detector collects a new reference
    last = [finding for finding in findings if finding is not None][-1]
    assert (last.alarm, last.details["prompts"], last.details["prompts_moved"]) == (True, 8, 8)
    assert alarms(feed(detector, second.answers(200))) == []
    assert alarms(feed(detector, Model("first").answers(24)))


def test_events_that_are_no_sentinel_answers_are_ignored():
    detector = SentinelDetector(SentinelConfig(reference_events=8))
    plain = [Observation(id=str(n), time=0.0, features={"characters": float(n)}) for n in range(100)]
    assert detector.update_many(plain) is None


def test_the_number_of_stored_prompts_is_bounded():
    detector, model = SentinelDetector(SentinelConfig(reference_events=8)), Model("first")
    finding = detector.update_many(model.answers(3 * PROMPTS, [f"sentinel/2/{n}" for n in range(2 * PROMPTS)]))
    assert finding.details["prompts"] == PROMPTS
