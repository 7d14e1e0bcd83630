"""The sentinel detector: another model shows within two rounds of the prompts, and prompts that always varied do not."""

import numpy as np
import pytest

from detectors.base import Observation
from detectors.streams.sentinel import PROMPTS, SentinelConfig, SentinelDetector

NAMES = [f"sentinel/1/{name}" for name in "abcdefgh"]


def unit(seed):
    vector = np.random.default_rng(seed).normal(size=96)
    return vector / np.linalg.norm(vector)


class Model:
    """Answers each prompt always alike, but for the prompts in `loose`, which it answers in one of four ways."""

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
def test_another_model_is_told_within_two_rounds(loose):
    detector = learned(Model("first", loose))
    findings = feed(detector, Model("second", loose).answers(16))
    assert alarms(findings)
    told = findings[alarms(findings)[0]]
    assert told.feature == "embedding"
    assert told.details["prompts"] == 8
    assert told.details["prompts_moved"] >= 4


def test_prompts_that_vary_by_themselves_are_no_change():
    detector = learned(Model("first", tuple(NAMES[:3])), 600)
    assert not detector.update_many([]).alarm


def test_the_former_model_clears_the_alarm():
    first = Model("first")
    detector = learned(first)
    assert alarms(feed(detector, Model("second").answers(24)))
    findings = feed(detector, first.answers(160))
    assert not findings[-1].alarm


def test_a_change_that_lasts_becomes_the_new_normal():
    detector, second = learned(Model("first"), adopt_events=40), Model("second")
    findings = feed(detector, second.answers(80))
    assert alarms(findings)
    assert findings[-1] is None  # it learns anew
    assert alarms(feed(detector, second.answers(200))) == []
    assert alarms(feed(detector, Model("first").answers(24)))


def test_what_is_no_sentinel_is_passed_over():
    detector = SentinelDetector(SentinelConfig(reference_events=8))
    plain = [Observation(id=str(n), time=0.0, features={"characters": float(n)}) for n in range(100)]
    assert detector.update_many(plain) is None


def test_the_prompts_that_are_remembered_are_bounded():
    detector, model = SentinelDetector(SentinelConfig(reference_events=8)), Model("first")
    finding = detector.update_many(model.answers(3 * PROMPTS, [f"sentinel/2/{n}" for n in range(2 * PROMPTS)]))
    assert finding.details["prompts"] == PROMPTS
