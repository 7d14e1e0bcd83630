"""Answers that all samples repeat, answers that differ in each sample, and answers that cannot be compared."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.base import Turn
from detectors.registry import create_text

DETECTOR = create_text("consistency")
DETECTOR.load()
ASKED = "What is the capital of Laos?"


def compared(answer, *samples, asked=ASKED, **options):
    turns = [Turn(role="user", content=asked), Turn(role="assistant", content=answer, pointer="/context/1/parts/0")]
    detector = create_text("consistency", options) if options else DETECTOR
    detector.load()
    return detector.score_answers([json.dumps(samples)], [turns])[0]


def test_an_answer_that_all_samples_repeat_is_consistent():
    score = compared("The capital of Laos is Vientiane.", "Vientiane.", "It is Vientiane, on the Mekong.")
    assert (score.score, score.label, score.flagged, score.spans) == (0.0, "ok", False, ())


def test_sentences_that_differ_in_each_sample_are_flagged():
    answer = "Laos has a capital. It is Aliabad."
    score = compared(answer, "Laos has one. It is Bolivar.", "Laos is large. It is Chantha.", threshold=0.5)
    assert (score.label, score.flagged) == ("inconsistent", True)
    (span,) = score.spans
    assert (answer[span.start : span.end], span.type, span.part) == (
        "It is Aliabad.",
        "INCONSISTENT",
        "/context/1/parts/0",
    )
    assert span.score == 1.0


def test_the_score_is_the_weighted_share_of_the_words_that_samples_lack():
    score = compared("A large Vientiane.", "Vientiane", "Vientiane, large")
    assert score.score == pytest.approx((1 * 0.5 + 3 * 0.0) / 4), "a name has the weight 3, `a` has none"


def test_words_of_the_question_do_not_count_unless_the_answer_has_no_others():
    assert compared("Laos: Vientiane", "Vientiane", "Vientiane").score == 0.0
    one_of_two = {"asked": "Which is larger, Laos or Nepal?"}
    assert compared("Laos", "Nepal", "Nepal", **one_of_two).score == 1.0
    assert compared("Laos", "Laos", "Nepal", **one_of_two).score == 0.5


def test_numbers_are_compared_as_numbers():
    assert compared("It has seven legs", "It has 7 legs", "7 legs").score == 0.0
    assert compared("1,000 legs", "1000 legs", "1000").score == pytest.approx(0.5 / 4)
    assert compared("In 1999", "In 1998", "In 1997").score == 1.0


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("plain text", [Turn(role="assistant", content="Vientiane")]),
        ('["one"]', [Turn(role="assistant", content="Vientiane")]),
        ('["one", "two"]', [Turn(role="user", content="Vientiane")]),
        ('["one", "two"]', []),
        ('[1, "two", "three"]', [Turn(role="assistant", content="Vientiane")]),
    ],
)
def test_without_two_samples_and_an_answer_the_result_is_unknown(text, turns):
    score = DETECTOR.score_answers([text], [turns])[0]
    assert (score.label, score.score, score.flagged) == ("unknown", 0.0, False)
    assert DETECTOR.score_many([text])[0].label == "unknown"


def test_the_newest_answer_is_compared():
    turns = [
        Turn(role="assistant", content="an earlier turn"),
        Turn(role="user", content=ASKED),
        Turn(role="assistant", content="Vientiane"),
    ]
    assert DETECTOR.score_answers(['["Vientiane", "Vientiane"]'], [turns])[0].score == 0.0


def test_sentences_beyond_the_limit_are_not_covered():
    score = compared("Vientiane. " * 10, "Vientiane", "Vientiane", max_sentences=5)
    assert (score.covered, score.label) == (pytest.approx(0.5, abs=0.05), "error")


def test_a_long_list_is_read_to_its_end():
    answer = "\n".join(f"- {number} and a city" for number in range(200))
    assert len(answer) <= DETECTOR.prompt_characters
    score = compared(answer, answer, answer)
    assert (score.covered, score.label) == (1.0, "ok")


def test_an_answer_without_words_is_ok():
    assert compared("...!", "Vientiane", "Vientiane").label == "ok"


@given(st.text(), st.lists(st.text(), min_size=2, max_size=4))
def test_any_text_has_a_score_from_0_to_1_and_equal_texts_are_consistent(answer, samples):
    assert 0.0 <= compared(answer, *samples).score <= 1.0
    assert compared(answer, answer, answer).score == 0.0
