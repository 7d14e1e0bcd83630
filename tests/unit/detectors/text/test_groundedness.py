"""Tables of answers to one passage: what rests on it, what does not, and what cannot be told."""

import tomllib
from pathlib import Path

import pytest

from detectors.base import Turn
from detectors.registry import create_text
from detectors.text.claims import claims, vocabulary

TEXTS = tomllib.loads(Path(__file__).with_name("texts.toml").read_text())["grounded"]


def said(detector, answer, passage=TEXTS["passage"]):
    turns = (Turn(role="system", content=passage), Turn(role="user", content="Tell me about the harbour office."))
    return detector.score_answers([answer], [turns])[0]


@pytest.mark.parametrize("answer", TEXTS["supported"])
def test_what_rests_on_the_text_is_not_flagged(detector, answer):
    score = said(detector, answer)
    assert (score.label, score.flagged) == ("ok", False)


@pytest.mark.parametrize("answer", TEXTS["unsupported"])
def test_what_does_not_is(detector, answer):
    score = said(detector, answer)
    assert (score.label, score.flagged) == ("unsupported", True)


def test_spans_say_which_sentences(detector):
    answer = TEXTS["unsupported"][5]
    spans = said(detector, answer).spans
    assert [answer[span.start : span.end] for span in spans] == ["The staff won a prize for their lighthouse museum."]
    assert spans[0].type == "UNSUPPORTED"


@pytest.mark.parametrize("passage", ["", "Tell me a story."])
def test_without_a_text_to_answer_from_nothing_is_told(detector, passage):
    assert said(detector, TEXTS["unsupported"][0], passage).label == "unknown"
    assert detector.score_many(TEXTS["unsupported"][:1])[0].label == "unknown"


def test_a_long_answer_is_read_in_part_and_says_so(detector):
    few = create_text("groundedness", {"threads": 1, "max_sentences": 3})
    few.load()
    score = said(few, " ".join(TEXTS["supported"][:3] * 3))
    assert score.label == "error"
    assert 0.2 < score.covered < 0.5


def test_it_wants_much_of_the_prompt(detector):
    assert detector.prompt_characters == 32_000


def test_a_sentence_ends_at_its_sign_or_line_and_not_within_a_number():
    text = "It costs 3.50 in all.  Is it open? Yes\n- one item\n天气很好。我们散步。"
    found, covered = claims(text, 100)
    assert [claim.text for claim in found] == [
        "It costs 3.50 in all.",
        "Is it open?",
        "Yes",
        "- one item",
        "天气很好。",
        "我们散步。",
    ]
    assert [text[claim.start : claim.end] for claim in found] == [claim.text for claim in found]
    assert covered == 1.0


def test_numbers_names_and_denials_are_kept_apart():
    (claim,), _ = claims("On Monday Ada Lovelace didn't buy two of the 1,500 cards.", 10)
    assert claim.numbers == {"2", "1500"}
    assert claim.names == {"monda", "ada", "lovel"}
    assert claim.negated
    assert vocabulary([claim])[1] == claim.numbers


@pytest.mark.parametrize("unit", ["a ", "a", ". ", "\n", "A. ", "1.", "! ", "'", "漢"])
def test_64_kb_of_anything_is_cut_in_time_linear_in_it(unit):
    text = (unit * 65_536)[:65_536]
    found, covered = claims(text, 64)
    assert len(found) <= 64
    assert 0 < covered <= 1.0
