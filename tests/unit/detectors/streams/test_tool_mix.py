"""The tool_mix detector: a change of the called tools is an alarm; the same mix and answers without calls are none."""

import random

import pytest

from detectors.base import Observation
from detectors.registry import create_stream
from detectors.streams.tool_mix import tool_features

OPTIONS = {"alarm_every_events": 1_000, "reference_events": 100}


def answers(names, count, seed=0, named=()):
    chance = random.Random(seed)
    return [
        Observation(id=f"{seed}-{row}", time=float(row), features=tool_features([chance.choice(names)], named))
        for row in range(count)
    ]


def alarms(detector, observations):
    found = [detector.update_many([one]) for one in observations]
    return [finding for finding in found if finding is not None and finding.alarm]


def test_the_features_of_an_answer_are_its_calls_and_the_bucket_of_each_tool():
    assert tool_features([]) == {}
    features = tool_features(["search", "search", "read"])
    assert features.pop("tool_calls") == 3.0
    assert sorted(features) == sorted({*tool_features(["search"]), *tool_features(["read"])} - {"tool_calls"})
    assert set(features.values()) == {1.0}


@pytest.mark.parametrize("names", [["erase"], ["search", "read", "erase"]])
def test_a_new_tool_is_an_alarm_of_its_bucket(names):
    detector = create_stream("tool_mix", OPTIONS)
    assert alarms(detector, answers(["search", "read"], 300)) == []
    found = alarms(detector, answers(names, 60, seed=1))
    assert found
    assert found[-1].feature in tool_features(["erase"])
    assert found[-1].details["recent_mean"] > found[-1].details["reference_mean"]


@pytest.mark.parametrize(("before", "now"), [(1, 9), (9, 1)])
def test_more_or_fewer_calls_in_an_answer_are_an_alarm(before, now):
    detector = create_stream("tool_mix", OPTIONS)
    first, later = (
        [Observation(id=f"{calls}-{row}", time=1.0, features=tool_features(["search"] * calls)) for row in range(rows)]
        for calls, rows in ((before, 300), (now, 40))
    )
    assert alarms(detector, first) == []
    assert {finding.feature for finding in alarms(detector, later)} == {"tool_calls"}


def test_answers_without_calls_are_no_events():
    detector = create_stream("tool_mix", OPTIONS)
    alarms(detector, answers(["search", "read"], 150))
    state = detector.snapshot()
    detector.update_many([Observation(id=f"t{row}", time=200.0, features={"characters": 5.0}) for row in range(500)])
    assert detector.snapshot() == state


def test_an_alarm_names_the_tools_of_its_bucket_if_the_observations_name_them():
    detector = create_stream("tool_mix", OPTIONS)
    alarms(detector, answers(["search", "read"], 300, named=["search", "read"]))
    found = alarms(detector, answers(["search", "erase"], 60, seed=1, named=["search", "erase"]))
    named = [{name for name in finding.details if name.startswith("tool:")} for finding in found]
    assert {"tool:erase"} in named
    assert all(one <= {"tool:erase"} for one in named)


def test_an_alarm_names_at_most_three_tools():
    detector, bucket = create_stream("tool_mix", OPTIONS), tool_features(["erase"])
    alike = [name for number in range(300) if tool_features([name := f"erase{number}"]) == bucket][:5]
    detector.update_many(answers(["search", "read"], 300))
    found = detector.update_many(answers(alike, 60, seed=1, named=alike))
    assert len([name for name in found.details if name.startswith("tool:")]) == 3


def test_only_declared_tools_with_plain_names_are_named():
    called = ["search", "invented", "call +49 151 12345678", *map(str, range(30))]
    features = tool_features(called, {*called} - {"invented"})
    named = [name for name in features if name.startswith("tool:")]
    assert named == ["tool:search", *(f"tool:{number}" for number in range(15))]
    assert {name: value for name, value in features.items() if name not in named} == tool_features(called)
