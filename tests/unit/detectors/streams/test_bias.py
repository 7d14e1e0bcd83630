"""The bias detector: a planted difference between two terms alarms; noise, small differences and equal answers do not."""

import msgspec
import pytest
from support.paired_log import TASKS, Model, prompt_id

from detectors.base import Observation
from detectors.streams.bias import BiasConfig, BiasDetector
from detectors.streams.paired_prompts import COMPARED, REFERENCE, PairedPrompt, paired_prompt


def feed(detector, observations):
    return [detector.update_many([one]) for one in observations]


def detector(**config):
    return BiasDetector(BiasConfig(**({"alarm_every_events": 1000} | config)))


def first_alarm(findings):
    return next((finding for finding in findings if finding is not None and finding.alarm), None)


@pytest.mark.parametrize(
    ("model", "feature", "direction"),
    [
        (Model(factor=0.8), "words", -1.0),
        (Model(factor=1.4), "words", 1.0),
        (Model(refused=0.3), "score_refusal", 1.0),
        (Model(toxic=0.3), "score_toxicity", 1.0),
    ],
)
def test_a_planted_bias_alarms_and_names_the_group_and_the_size(model, feature, direction):
    found = first_alarm(feed(detector(), model.pairs(600)))
    assert (found.feature, found.details["direction"]) == (feature, direction)
    assert "terms:religion.Christian.Muslim" in found.details
    assert found.details["pairs"] > 5
    difference = found.details["compared_term_mean"] - found.details["reference_term_mean"]
    assert difference * direction > (20 if feature == "words" else 0.1)
    assert found.details["changed_at"] >= 1000.0


def test_a_model_without_bias_does_not_alarm():
    findings = feed(detector(alarm_every_events=10_000), Model().pairs(1000))
    assert first_alarm(findings) is None
    assert max(finding.statistic for finding in findings[1:]) > 0


def test_equal_answers_are_no_new_evidence():
    findings = feed(detector(), Model(factor=0.5, spread=0.0).pairs(1500))
    assert first_alarm(findings) is None, "a greedy model gives one pair of answers for each task"
    later = {finding.statistic for finding in findings[4 * TASKS :]}
    assert len(later) == 1, "ignored pairs do not move the statistic"


def test_a_small_but_certain_difference_does_not_alarm():
    findings = feed(detector(min_length_ratio=1.5), Model(factor=0.8, spread=0.1).pairs(600))
    assert first_alarm(findings) is None
    assert findings[-1].details["too_small"] == 1.0
    assert findings[-1].statistic >= findings[-1].limit


@pytest.mark.parametrize(("model", "feature"), [(Model(refused=0.3), "refusal"), (Model(toxic=0.3), "toxicity")])
def test_refusals_and_toxic_answers_have_their_own_minimum(model, feature):
    log = model.pairs(600)
    least = {f"min_{name}_points": 60.0 for name in ("refusal", "toxicity") if name != feature}
    assert first_alarm(feed(detector(**least), log)).feature == f"score_{feature}"
    assert first_alarm(feed(detector(**{f"min_{feature}_points": 60.0}), log)) is None


def test_a_small_difference_does_not_hide_a_large_one():
    model = Model(factor=0.8, spread=0.1, refused=0.4)
    found = first_alarm(feed(detector(min_length_ratio=3.0), model.pairs(600)))
    assert found.feature == "score_refusal"


def test_the_order_of_the_two_answers_does_not_matter():
    pairs = [Model(factor=0.8, seed=seed).pair() for seed in range(50)]
    forward, backward = detector(), detector()
    feed(forward, [answer for pair in pairs for answer in pair])
    feed(backward, [answer for pair in pairs for answer in reversed(pair)])
    assert forward.update_many([]) == backward.update_many([])


def test_an_alarm_ends_after_the_bias_and_every_bucket_has_a_finding():
    biased, fair = Model(factor=0.7), Model(seed=1)
    one = detector()
    assert first_alarm(feed(one, biased.pairs(200)))
    fair.number = biased.number
    findings = feed(one, fair.pairs(400))
    assert None not in findings
    assert not findings[-1].alarm
    assert findings[-1].statistic < findings[-1].limit / 2


def test_the_evidence_of_an_alarm_is_forgotten_when_the_alarm_ends():
    biased, fair = Model(factor=0.7), Model(seed=1)
    one = detector()
    feed(one, biased.pairs(200))
    fair.number = biased.number
    findings = feed(one, fair.pairs(400))
    ended = [finding.alarm for finding in findings].index(False)
    assert findings[ended + 1].statistic < 1


def test_an_alarm_about_a_long_bias_ends_a_few_hundred_pairs_after_it():
    biased, fair = Model(factor=0.7), Model(seed=1)
    one = detector()
    assert first_alarm(feed(one, biased.pairs(3000)))
    fair.number = biased.number
    assert not feed(one, fair.pairs(700))[-1].alarm


def test_an_answer_waits_for_the_answer_with_the_other_term_and_a_newer_answer_replaces_it():
    one, model = detector(), Model(spread=0.0)
    first, newer = (
        msgspec.structs.replace(model.answer(0, REFERENCE), features={"words": words}) for words in (10.0, 100.0)
    )
    assert feed(one, [first, newer]) == [None, None]
    (finding,) = feed(one, [msgspec.structs.replace(model.answer(0, COMPARED), features={"words": 50.0})])
    means = {finding.details["reference_term_mean"], finding.details["compared_term_mean"]}
    assert means <= {0.0, 50.0, 100.0}
    assert finding.details["answers"] == 3.0


def test_the_state_of_answers_that_wait_for_the_other_answer_is_bounded():
    one, sizes = detector(), []
    for number in range(2000):
        prompt = prompt_id(0, REFERENCE, terms=("age", "30-year-old", f"{number:04}-year-old"))
        feed(one, [Observation(id="r", time=0.0, features={"words": 3.0}, prompt=prompt)])
        sizes.append(len(one.snapshot()))
    assert max(sizes[600:]) < 1.1 * sizes[600]


def test_another_version_of_the_prompts_resets_the_state():
    one, model = detector(), Model(factor=0.7)
    assert first_alarm(feed(one, model.pairs(200)))
    newer = msgspec.structs.replace(model.answer(0, REFERENCE), prompt=prompt_id(0, REFERENCE, version="2"))
    assert one.update_many([newer]) is None


def test_other_prompts_are_ignored():
    one = detector()
    others = ["", "sentinel/1/fact", "bias/1/religion.a/letter/reference", "bias/1/religion.a.b/letter/both"]
    seen = [Observation(id=name, time=0.0, features={"words": 3.0}, prompt=name) for name in others]
    assert one.update_many(seen) is None
    assert one.snapshot() == detector().snapshot()


def test_an_id_has_the_parts_of_its_prompt():
    prompt = PairedPrompt(
        version="1", group="age", reference="30-year-old", compared="60-year-old", template="letter", side=COMPARED
    )
    assert paired_prompt(prompt.id) == prompt
