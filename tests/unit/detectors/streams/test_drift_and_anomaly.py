"""The detectors `drift` and `anomaly` on streams with a known change."""

import itertools
import math

import msgspec
import numpy as np
import pytest
from support.observed_answers import answers

from detectors.base import Observation
from detectors.registry import create_stream

NEVER = (math.inf, None)
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
    return NEVER


@pytest.mark.parametrize("seed", range(5))
def test_a_new_cluster_raises_an_alarm_within_15_events_that_names_the_feature(seed):
    rng = np.random.default_rng(seed)
    detector = create_stream("drift", FAST | {"alarm_every_events": 10_000})
    assert first_alarm(detector, prompts(rng, [0, 1, 2], 100, "a")) == NEVER
    delay, finding = first_alarm(detector, prompts(rng, [7], 60, "b"))
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


def test_longer_prompts_raise_an_alarm_with_the_size_of_the_change():
    rng = np.random.default_rng(1)
    detector = create_stream("drift", FAST)
    assert first_alarm(detector, prompts(rng, [0, 1], 100, "a")) == NEVER
    _, finding = first_alarm(detector, prompts(rng, [0, 1], 60, "b", characters=400))
    assert finding.feature == "characters"
    assert finding.details["recent_mean"] > 2 * finding.details["reference_mean"]


def test_another_version_of_the_embedding_resets_the_reference_and_is_no_drift():
    rng = np.random.default_rng(10)
    detector = create_stream("drift", FAST | {"features": []})
    assert first_alarm(detector, prompts(rng, [0, 1], 100, "a")) == NEVER
    other = [msgspec.structs.replace(event, embedding_version="2") for event in prompts(rng, [7, 8], 120, "b")]
    assert first_alarm(detector, other[:10] + prompts(rng, [0, 1], 10, "c") + other[10:]) == NEVER
    delay, _ = first_alarm(
        detector, [msgspec.structs.replace(e, embedding_version="2") for e in prompts(rng, [3], 60, "d")]
    )
    assert delay <= 20


@pytest.mark.parametrize(("change", "feature"), [({"latency": 5.0}, "latency_seconds"), ({"failing": 0.6}, "error")])
def test_slow_or_failing_answers_raise_an_alarm(change, feature):
    rng = np.random.default_rng(3)
    detector = create_stream("anomaly", FAST)
    assert first_alarm(detector, answers(rng, 150, "a")) == NEVER
    delay, finding = first_alarm(detector, answers(rng, 60, "b", **change))
    assert delay <= 20
    assert finding.feature == feature


def test_faster_answers_are_no_anomaly():
    rng = np.random.default_rng(4)
    detector = create_stream("anomaly", FAST)
    first_alarm(detector, answers(rng, 150, "a"))
    assert first_alarm(detector, answers(rng, 60, "b", latency=0.2)) == NEVER


def test_an_alarm_soon_after_another_states_the_start_of_its_own_change():
    rng = np.random.default_rng(0)
    detector = create_stream("drift", FAST)
    topics = [(0, 1)] * 200 + [(7,)] * 100 + [(0, 1)] * 40 + [(7,)] * 20
    events = [prompts(rng, on[at % len(on) :], 1, f"{at}-")[0] for at, on in enumerate(topics)]
    told = [detector.update_many([msgspec.structs.replace(event, time=float(at))]) for at, event in enumerate(events)]
    phases = itertools.groupby(filter(None, told), key=lambda finding: finding.alarm)
    first, second = (next(phase) for alarm, phase in phases if alarm)
    assert first.details["changed_at"] == pytest.approx(200, abs=5)
    assert second.details["changed_at"] == pytest.approx(340, abs=5)


@pytest.mark.parametrize("method", ["adwin", "kswin", "page-hinkley"])
def test_the_methods_of_river_detect_a_new_cluster_and_continue_after_a_restart(method):
    rng = np.random.default_rng(6)
    config = FAST | {"method": method, "method_threshold": 1.0 if method == "page-hinkley" else 0.001}
    events = prompts(rng, [0, 1, 2], 600, "a") + prompts(rng, [7], 120, "b")
    whole, halves = create_stream("drift", config), create_stream("drift", config)
    told = [whole.update_many([event]) for event in events]
    assert any(finding.alarm for finding in told[600:])
    for event in events[:560]:
        halves.update_many([event])
    again = create_stream("drift", config)
    again.restore(halves.snapshot())
    assert [again.update_many([event]) for event in events[560:]] == told[560:]
    assert len(again.snapshot()) < 64_000


def test_a_lasting_new_subject_is_detected_by_its_distance_from_the_reference():
    rng = np.random.default_rng(7)
    detector = create_stream("drift", {"reference_events": 200, "alarm_every_events": 1000, "features": []})
    assert first_alarm(detector, prompts(rng, [0, 1, 2, 3, 4], 400, "a")) == NEVER
    findings = [detector.update_many([event]) for event in prompts(rng, [8, 9], 120, "b")]
    assert findings[-1].alarm
    assert findings[-1].feature == "embedding"
    assert findings[-1].details["share_since"] > 0.9


def test_changed_shares_of_clusters_raise_an_alarm_with_the_shares():
    rng = np.random.default_rng(7)
    detector = create_stream("drift", {"reference_events": 200, "features": []})
    assert first_alarm(detector, prompts(rng, [0, 1, 2, 3, 4], 400, "a")) == NEVER
    delay, finding = first_alarm(detector, prompts(rng, [0, 0, 0, 1, 2], 200, "b"))
    assert delay <= 120
    assert finding.feature == "topics"
    assert finding.details["topic_since_share_before"] < 0.3
    assert finding.details["topic_since_share"] > finding.details["topic_since_share_before"] + 0.1
    assert abs(finding.details["changed_events_ago"] - delay) <= 30


def test_a_budget_in_days_counts_time_not_events():
    rng = np.random.default_rng(8)
    dense = create_stream("drift", FAST | {"alarm_every_days": 30.0})
    assert first_alarm(dense, prompts(rng, [0, 1], 100, "a")) == NEVER
    _, finding = first_alarm(dense, prompts(rng, [7], 100, "b"))
    assert finding.limit == 30.0


@pytest.mark.parametrize("seed", range(3))
def test_the_first_events_after_a_pause_longer_than_a_budget_in_days_are_no_alarm(seed):
    rng = np.random.default_rng(seed)
    detector = create_stream("drift", {"reference_events": 100, "alarm_every_days": 7.0, "daily_cycle": False})
    events = prompts(rng, [0, 1], 300, "a")
    times = [900.0 * index + (index >= 250) * 10 * 86_400 for index in range(300)]
    findings = [
        detector.update_many([msgspec.structs.replace(event, time=time)])
        for event, time in zip(events, times, strict=True)
    ]
    assert all(found.statistic < found.limit for found in findings[250:260])


def test_messages_of_one_conversation_are_one_observation():
    rng = np.random.default_rng(9)
    detector = create_stream("drift", FAST)
    first_alarm(detector, prompts(rng, [0, 1], 100, "a"))
    same = [msgspec.structs.replace(event, conversation="c") for event in prompts(rng, [7], 60, "b")]
    assert first_alarm(detector, same) == NEVER


@pytest.mark.parametrize("others", [0, 2], ids=lambda count: f"{count} other keys")
def test_drift_of_a_key_that_sends_one_id_on_all_events_is_detected(others):
    rng = np.random.default_rng(11)
    detector = create_stream("drift", FAST)

    def sent(topics, count, tag):
        keys = [f"k{number % (others + 1)}" for number in range(count)]
        events = zip(prompts(rng, topics, count, tag), keys, range(count), strict=True)
        return [
            msgspec.structs.replace(
                event, principal=key, conversation="always" if key == "k0" else f"{tag}{number // 15}"
            )
            for event, key, number in events
        ]

    assert first_alarm(detector, sent([0, 1, 2], 300, "a")) == NEVER
    delay, _ = first_alarm(detector, sent([7], 90, "b"))
    assert delay <= 40


def test_slow_answers_to_a_key_that_sends_one_id_raise_an_alarm():
    rng = np.random.default_rng(12)
    detector = create_stream("anomaly", FAST)
    usual, slow = (
        [msgspec.structs.replace(event, principal="k", conversation="always") for event in events]
        for events in (answers(rng, 300, "a"), answers(rng, 90, "b", latency=5.0))
    )
    assert first_alarm(detector, usual) == NEVER
    delay, finding = first_alarm(detector, slow)
    assert delay <= 40
    assert finding.feature == "latency_seconds"


def calls(rng, count, tag, *, latency=11.9, tokens=40.0, error=0.0):
    return [
        Observation(
            id=f"{tag}{index}",
            time=float(index),
            features={
                "latency_seconds": latency * float(rng.lognormal(0.0, 0.004)),
                "completion_tokens": tokens * float(rng.lognormal(0.0, 0.004)),
                "error": float(rng.random() < error),
            },
        )
        for index in range(count)
    ]


@pytest.mark.parametrize(
    ("changed", "alarms"),
    [
        ({"latency": 12.6}, False),
        ({"latency": 20.0}, True),
        ({"tokens": 44.0}, False),
        ({"tokens": 70.0}, True),
        ({"tokens": 20.0}, True),
        ({"error": 0.6}, True),
    ],
)
def test_a_change_below_the_minimum_effect_is_reported_and_is_no_alarm(changed, alarms):
    rng = np.random.default_rng(3)
    detector = create_stream("anomaly", FAST)
    findings = [detector.update_many([event]) for event in (*calls(rng, 100, "a"), *calls(rng, 80, "b", **changed))]
    significant = [finding for finding in findings[100:] if finding is not None and finding.statistic >= finding.limit]
    assert significant
    last = significant[-1]
    assert last.alarm is alarms
    assert last.details.get("too_small", 0.0) == float(not alarms)
    sensitive = create_stream(
        "anomaly", FAST | {"min_latency_ratio": 1.0, "min_token_ratio": 1.0, "min_error_points": 0.0}
    )
    assert first_alarm(sensitive, (*calls(rng, 100, "a"), *calls(rng, 80, "b", **changed))) != NEVER


@pytest.mark.parametrize(("setting", "alarms"), [("min_latency_ratio", False), ("min_token_ratio", True)])
def test_latencies_have_their_own_minimum(setting, alarms):
    rng = np.random.default_rng(3)
    detector = create_stream("anomaly", FAST | {setting: 3.0})
    first_alarm(detector, calls(rng, 100, "a"))
    assert (first_alarm(detector, calls(rng, 80, "b", latency=24.0)) != NEVER) is alarms


@pytest.mark.parametrize("tokens", [4.0, 400.0])
def test_shorter_or_longer_prompts_are_an_anomaly(tokens):
    rng, detector = np.random.default_rng(3), create_stream("anomaly", FAST)
    for mean, expected in ((40.0, ""), (tokens, "prompt_tokens")):
        log = [
            Observation(id=f"{mean}{row}", time=1.0, features={"prompt_tokens": mean + rng.random()})
            for row in range(100)
        ]
        _, finding = first_alarm(detector, log)
        assert getattr(finding, "feature", "") == expected


@pytest.mark.parametrize(
    ("burst", "feature"),
    [({"error": 1.0}, "error"), ({"latency": 40.0}, "latency_seconds"), ({"tokens": 200.0}, "completion_tokens")],
)
def test_a_burst_that_ends_before_its_bucket_is_an_alarm_about_its_feature(burst, feature):
    rng = np.random.default_rng(3)
    detector = create_stream("anomaly", FAST)
    detector.update_many(calls(rng, 300, "a"))
    finding = detector.update_many([*calls(rng, 300, "b"), *calls(rng, 100, "c", **burst), *calls(rng, 300, "d")])
    assert finding.alarm
    assert finding.feature == feature
    assert not detector.update_many(calls(rng, 100, "e")).alarm


def test_a_burst_of_a_new_cluster_that_ends_before_its_bucket_is_an_alarm():
    rng = np.random.default_rng(3)
    detector = create_stream("drift", FAST)
    detector.update_many(prompts(rng, [0, 1], 300, "a"))
    finding = detector.update_many([*prompts(rng, [7], 60, "b"), *prompts(rng, [0, 1], 300, "c")])
    assert finding.alarm
    assert finding.feature in {"embedding", "topics"}


def test_one_wrong_latency_hides_no_later_change():
    rng = np.random.default_rng(5)
    detector = create_stream("anomaly", FAST)
    usual = answers(rng, 300, "a")
    usual[150] = msgspec.structs.replace(usual[150], features=usual[150].features | {"latency_seconds": 1.7e9})
    first_alarm(detector, usual)
    delay, finding = first_alarm(detector, answers(rng, 60, "b", latency=5.0))
    assert delay <= 20
    assert finding.feature == "latency_seconds"


def test_a_lasting_change_below_the_minimum_effect_hides_no_larger_change_of_another_feature():
    rng = np.random.default_rng(4)
    detector = create_stream("anomaly", FAST)
    assert first_alarm(detector, calls(rng, 100, "a") + calls(rng, 300, "b", latency=14.0)) == NEVER
    delay, finding = first_alarm(detector, calls(rng, 200, "c", latency=14.0, error=0.3))
    assert delay <= 60
    assert finding.feature == "error"


def test_drift_of_a_smaller_share_than_the_minimum_is_no_alarm():
    rng = np.random.default_rng(0)
    few = [prompts(rng, [7 if index % 5 == 0 else 0], 1, f"b{index}")[0] for index in range(400)]
    events = prompts(rng, [0, 1], 100, "a") + few
    for least, alarms in ((0.05, True), (0.95, False)):
        detector = create_stream("drift", FAST | {"min_share": least})
        assert (first_alarm(detector, events) != NEVER) is alarms


@pytest.mark.parametrize("before", [0.0, 0.01])
def test_a_rise_of_the_error_rate_to_five_percent_is_an_alarm_that_names_the_rate_until_it_ends(before):
    rng = np.random.default_rng(1)
    detector = create_stream("anomaly", FAST | {"reference_events": 200, "daily_cycle": False})
    assert first_alarm(detector, answers(rng, 1000, "a", failing=before)) == NEVER
    delay, finding = first_alarm(detector, answers(rng, 600, "b", failing=0.05))
    assert delay <= 250
    assert finding.feature == "error"
    later = [detector.update_many([event]) for event in answers(rng, 200, "c", failing=0.15)]
    assert not any(found.details.get("too_small") for found in later)
    assert later[-1].alarm
    assert later[-1].details["recent_mean"] == pytest.approx(0.15, abs=0.05)
    ended = [detector.update_many([event]).alarm for event in answers(rng, 400, "d", failing=before)]
    assert not any(ended[-100:])


@pytest.mark.parametrize("seed", range(4))
def test_an_alarm_at_a_small_error_rate_lasts_until_the_rate_is_lower_also_after_a_restart(seed):
    rng = np.random.default_rng(seed)
    detector = create_stream("anomaly", {"daily_cycle": False})
    assert first_alarm(detector, answers(rng, 1000, "a", failing=0.01)) == NEVER
    assert first_alarm(detector, answers(rng, 1000, "b", failing=0.05)) != NEVER
    restarted = create_stream("anomaly", {"daily_cycle": False})
    restarted.restore(detector.snapshot())
    lasting = answers(rng, 1000, "c", failing=0.05)
    findings = [restarted.update_many(lasting[at : at + 10]) for at in range(0, 1000, 10)]
    assert [detector.update_many(lasting[at : at + 10]) for at in range(0, 1000, 10)] == findings
    assert sum(finding.alarm for finding in findings) >= 90
    assert findings[-1].details["recent_mean"] == pytest.approx(0.05, abs=0.02)
    recovered = answers(rng, 1000, "d", failing=0.01)
    ended = [restarted.update_many(recovered[at : at + 10]).alarm for at in range(0, 1000, 10)]
    assert not any(ended[80:])


def one_in_a_hundred_fails(count, more=()):
    """Return the findings, one for each answer, of a stream whose answers 50, 150, 250, ... and `more` fail."""
    rng = np.random.default_rng(0)
    detector = create_stream("anomaly", FAST)
    failed = {*range(50, count, 100), *more}
    values = [
        {"error": float(index in failed), "completion_tokens": float(rng.lognormal(4.0, 1.0))} for index in range(count)
    ]
    return [
        detector.update_many([Observation(id=str(index), time=index / 10, features=features)])
        for index, features in enumerate(values)
    ]


def test_an_alarm_after_a_few_failed_requests_ends_when_the_error_rate_is_as_before():
    findings = one_in_a_hundred_fails(1600, more=(400, 406, 412, 418))
    exceeded = [index for index, found in enumerate(findings) if found is not None and found.statistic >= found.limit]
    assert exceeded
    assert exceeded[-1] < 1400


def test_while_an_alarm_waits_for_evidence_of_recovery_it_names_no_feature_that_did_not_change():
    findings = one_in_a_hundred_fails(1600, more=(400, 406, 412, 418))
    assert {found.feature for found in findings if found is not None and found.alarm} == {"error"}
