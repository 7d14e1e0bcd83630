"""The contract of every registered stream detector."""

import random
from functools import partial

import msgspec
import numpy as np
import pytest

from detectors.base import Finding, Observation
from detectors.errors import StateMismatch
from detectors.registry import STREAM
from detectors.registry import create_stream as create

FAST = {"reference_events": 40, "alarm_every_events": 1000}
#: Detectors that test against a known null hypothesis and learn no reference.
WITHOUT_REFERENCE = {"bias"}


def create_stream(name, options):
    known = STREAM[name].config_type.__struct_fields__
    return create(name, {key: value for key, value in options.items() if key in known})


@pytest.fixture(params=sorted(STREAM))
def name(request):
    return request.param


@pytest.fixture
def observations(name):
    """Return the function that makes the stream of a detector."""
    return partial(stream, paired=name == "bias")


def stream(count, seed=0, shift=0.0, *, paired=False):
    """Return buckets of five events with every feature that a detector can read. If `paired`, only every second event is shifted."""
    rng = np.random.default_rng(seed)
    centre = np.zeros(96)
    centre[: 1 + int(shift > 0)] = (1.0, 4.0 * shift)[: 1 + int(shift > 0)]
    made = []
    change = shift
    for index in range(count):
        side = ("reference", "compared")[index % 2]
        prompt = f"bias/1/group.a.b/{index // 2 % 9}/{side}" if paired else "p"
        shift = change * (side == "compared") if paired else change
        vector = centre + 0.1 * rng.normal(size=96)
        features = {
            "characters": float(rng.integers(20, 60)) * (1 + 9 * shift),
            "words": float(rng.integers(4, 12)) * (1 + 9 * shift * paired),
            "latency_seconds": float(rng.lognormal()) * (1 + 9 * shift),
            "time_to_first_token_seconds": float(rng.lognormal() / 10),
            "prompt_tokens": float(rng.integers(5, 30)),
            "completion_tokens": float(rng.integers(5, 100)),
            "error": float(rng.random() < 0.02 + 0.5 * shift),
            "score_refusal": float(rng.random() ** 4),
            "tool_calls": float(rng.integers(1, 4)) * (1 + 9 * shift),
            f"tool_bucket_{rng.integers(32):02}": 1.0,
        }
        packed = (vector / np.linalg.norm(vector)).astype("<f2").tobytes()
        made.append(
            Observation(id=f"{seed}-{index}", time=float(index), features=features, embedding=packed, prompt=prompt)
        )
    return [made[i : i + 5] for i in range(0, count, 5)]


def feed(detector, buckets):
    return [detector.update_many(bucket) for bucket in buckets]


def test_no_finding_before_the_reference_and_one_for_each_bucket_after_it(name, observations):
    findings = feed(create_stream(name, FAST), observations(200))
    assert name in WITHOUT_REFERENCE or findings[:7] == [None] * 7
    assert all(isinstance(finding, Finding) for finding in findings[8:])


def test_empty_buckets_are_accepted(name, observations):
    detector = create_stream(name, FAST)
    assert detector.update_many([]) is None
    feed(detector, observations(100))
    finding = detector.update_many([])
    assert finding is not None
    assert not finding.alarm


def test_observations_without_features_are_accepted(name):
    detector = create_stream(name, FAST)
    bare = [Observation(id=str(index), time=float(index), features={}) for index in range(100)]
    assert detector.update_many(bare) is None


def test_invalid_values_are_accepted(name, observations):
    detector = create_stream(name, FAST)
    feed(detector, observations(100))
    strange = [float("nan"), float("inf"), float("-inf"), -1.0, 1e300, 0.0]
    embeddings = [b"", b"x", b"xy", b"\xff\xff" * 96, b"\0" * 192, None]
    names = ("characters", "latency_seconds", "error")
    odd = [
        Observation(id=f"{value}", time=0.0, features=dict.fromkeys(names, value), embedding=data)
        for value, data in zip(strange, embeddings, strict=True)
    ]
    finding = detector.update_many(odd)
    assert finding is not None
    assert 0.0 <= finding.score <= 1.0


def test_the_score_is_at_least_one_half_exactly_in_alarm(name, observations):
    findings = feed(create_stream(name, FAST), observations(200) + observations(100, seed=1, shift=1.0))
    told = [finding for finding in findings if finding is not None]
    assert any(finding.alarm for finding in told)
    assert all((finding.score >= 0.5) == finding.alarm == (finding.statistic >= finding.limit) for finding in told)
    assert all(0.0 <= finding.score <= 1.0 for finding in told)


def test_the_same_stream_gives_the_same_findings(name, observations):
    buckets = observations(150) + observations(50, seed=1, shift=1.0)
    assert feed(create_stream(name, FAST), buckets) == feed(create_stream(name, FAST), buckets)


@pytest.mark.parametrize("cut", [0, 3, 8, 30, 45])
def test_a_restored_detector_continues_identically(name, cut, observations):
    buckets = observations(200) + observations(60, seed=1, shift=1.0)
    original = create_stream(name, FAST)
    feed(original, buckets[:cut])
    state = original.snapshot()
    copy = create_stream(name, FAST)
    copy.restore(state)
    assert copy.snapshot() == state
    assert feed(copy, buckets[cut:]) == feed(original, buckets[cut:])
    assert copy.snapshot() == original.snapshot()


def test_a_corrupt_state_is_an_error_and_does_not_change_the_detector(name, observations):
    detector = create_stream(name, FAST)
    feed(detector, observations(100))
    state = detector.snapshot()
    rng = random.Random(0)
    for _ in range(150):
        position = rng.randrange(len(state))
        broken = bytearray(state)
        broken[position] ^= 1 << rng.randrange(8)
        with pytest.raises(StateMismatch):
            detector.restore(bytes(broken))
    for end in (0, 1, len(state) // 2, len(state) - 1):
        with pytest.raises(StateMismatch):
            detector.restore(state[:end])
    with pytest.raises(StateMismatch):
        detector.restore(b"not a snapshot")
    assert detector.snapshot() == state


def test_a_state_of_another_detector_or_configuration_is_an_error(name):
    state = create_stream(name, FAST).snapshot()
    other = next(candidate for candidate in STREAM if candidate != name)
    with pytest.raises(StateMismatch, match=other):
        create_stream(other, FAST).restore(state)
    with pytest.raises(StateMismatch, match="another configuration"):
        create_stream(name, FAST | {"alarm_every_events": 1001}).restore(state)


def test_options_that_only_affect_alarms_keep_the_state(name, observations):
    """A firing alert and its reference must outlive a change of these options, also if the signals have expired."""
    judging = STREAM[name].stateless_options
    changed = {option: 1.7 * getattr(STREAM[name].config_type(), option) for option in judging}
    detector, other = create_stream(name, FAST), create_stream(name, FAST | changed)
    for one in (detector, other):
        feed(one, observations(150))
        feed(one, observations(100, seed=1, shift=0.3))
    assert other.snapshot() == detector.snapshot()
    create_stream(name, FAST | changed).restore(detector.snapshot())


def test_a_state_of_an_earlier_version_is_an_error(name, monkeypatch):
    detector = create_stream(name, FAST)
    monkeypatch.setattr(type(detector), "version", "0")
    state = detector.snapshot()
    monkeypatch.undo()
    with pytest.raises(StateMismatch, match=rf"a snapshot of {name} 0, expected {name} \d+"):
        detector.restore(state)


def test_state_is_bounded_whatever_keys_and_conversations_are_sent(name, observations):
    detector = create_stream(name, FAST)
    sizes = []
    for seed in range(3):
        for bucket in observations(1500, seed=seed):
            sent = [
                msgspec.structs.replace(event, principal=f"k{event.id}", conversation=f"c{event.id}")
                for event in bucket
            ]
            detector.update_many(sent)
        sizes.append(len(detector.snapshot()))
    assert sizes[-1] < sizes[0] * 1.25 + 2_000
    assert sizes[-1] < 64_000


def test_a_finding_contains_no_identity_and_no_text(name, observations):
    buckets = observations(200) + observations(100, seed=1, shift=1.0)
    sent = [
        [
            msgspec.structs.replace(event, **dict.fromkeys(("id", "principal", "conversation"), f"planted-{event.id}"))
            for event in bucket
        ]
        for bucket in buckets
    ]
    found = [finding for finding in feed(create_stream(name, FAST), sent) if finding is not None]
    assert any(finding.alarm for finding in found)
    assert b"planted" not in msgspec.json.encode(found)
    known = {
        "embedding",
        "topics",
        "slow_requests",
        *(feature for bucket in buckets for event in bucket for feature in event.features),
    }
    for finding in found:
        assert finding.feature in known
        assert all(isinstance(value, float) for value in finding.details.values())
