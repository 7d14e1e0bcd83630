"""Answers to one passage: supported, unsupported, and with an unknown label."""

import tomllib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.base import Turn
from detectors.registry import create_text
from detectors.text.claims import claims
from detectors.text.groundedness import GroundednessConfig
from detectors.text.sources import sources
from detectors.text.support import FEATURES, is_statement

TEXTS = tomllib.loads(Path(__file__).with_name("texts.toml").read_text())["grounded"]
PASSAGE = TEXTS["passage"]
ASKS = "Tell me about the harbour office."


def said(detector, answer, passage=PASSAGE):
    turns = (Turn(role="system", content=f"Answer from this text: {passage}"), Turn(role="user", content=ASKS))
    return detector.score_answers([answer], [turns])[0]


def source_texts(*turns, most=100):
    return [source.claim.text for source in sources([Turn(role=role, content=text) for role, text in turns], most)[0]]


@pytest.mark.parametrize("answer", TEXTS["supported"])
def test_answers_supported_by_the_passage_are_not_flagged(detector, answer):
    score = said(detector, answer)
    assert (score.label, score.flagged) == ("ok", False)


@pytest.mark.parametrize("answer", TEXTS["unsupported"])
def test_answers_unsupported_by_the_passage_are_flagged(detector, answer):
    score = said(detector, answer)
    assert (score.label, score.flagged) == ("unsupported", True)


def test_each_unsupported_sentence_is_followed_by_its_source(detector):
    answer = TEXTS["unsupported"][0]
    turns = (
        Turn(role="user", content="In which year was the office founded?", pointer="/context/0/parts/0"),
        Turn(role="tool", content=PASSAGE, pointer="/context/1/parts/0"),
    )
    unsupported, source = detector.score_answers([answer], [turns])[0].spans
    assert (answer[unsupported.start : unsupported.end], unsupported.type, unsupported.part) == (
        answer,
        "UNSUPPORTED",
        "",
    )
    assert (source.type, source.part) == ("SOURCE", "/context/1/parts/0")
    assert PASSAGE[source.start : source.end].startswith("The harbour office in Selby was founded")
    assert said(detector, answer).spans[1].part == "/prompt/0/content"


def test_a_name_that_the_user_wrote_lowers_the_score(detector):
    answer = "The year in which the office in Selby was founded, Mr. Quimby, is 1923."
    turns = [
        (Turn(role="user", content=f"{name} here. When?"), Turn(role="tool", content=PASSAGE))
        for name in ("Quimby", "X")
    ]
    known, unknown = detector.score_answers([answer, answer], turns)
    assert known.score < unknown.score


@pytest.mark.parametrize("passage", ["", "Tell me a story."])
def test_without_a_source_text_the_label_is_unknown(detector, passage):
    assert said(detector, TEXTS["unsupported"][0], passage).label == "unknown"
    assert detector.score_many(TEXTS["unsupported"][:1])[0].label == "unknown"


def test_a_long_answer_is_read_in_part_and_has_the_label_error(detector):
    few = create_text("groundedness", {"threads": 1, "max_sentences": 3})
    few.load()
    score = said(few, " ".join(TEXTS["supported"][:3] * 3))
    assert score.label == "error"
    assert 0.2 < score.covered < 0.5


def test_the_detector_reads_32000_characters_of_the_prompt(detector):
    assert detector.prompt_characters == 32_000


@pytest.mark.parametrize(
    ("turns", "found"),
    [
        ([("tool", "Anna is 7."), ("assistant", "Bob is 8.")], ["Anna is 7."]),
        ([("user", "Anna has 7 pens. Bob has 8 pens. Both lose one. How many pens are left?")], []),
        (
            [("user", "Summarize this: Anna has seven pens and Bob has eight.\nPlease be brief.")],
            ["Anna has seven pens and Bob has eight."],
        ),
        ([("user", "Context: Anna is 7.\n\nQuestion: How old is she?\nAnswer:")], ["Context: Anna is 7."]),
        (
            [("user", "What does this say?\n\nAnna is 7. Bob is 8. Carl is 9.")],
            ["Anna is 7.", "Bob is 8.", "Carl is 9."],
        ),
        ([("user", "What does this say?\n\nAnna is 7.")], []),
        (
            [
                (
                    "system",
                    "The assistant is called Max. It is kind. It works for a bank.\n\nIt is brief. It is calm. It is fair.",
                )
            ],
            [],
        ),
        ([("system", "Answer from the following text.\nAnna is 7."), ("user", "How old is she?")], ["Anna is 7."]),
        (
            [("user", "Context: Anna is 7."), ("user", "Is she? Context: Bob is 8.")],
            ["Context: Bob is 8.", "Context: Anna is 7."],
        ),
    ],
)
def test_sources_are_tool_results_and_passages_without_the_instruction(turns, found):
    assert source_texts(*turns) == found


def test_the_newest_sources_are_kept():
    assert source_texts(("tool", "One. Two. Three."), ("tool", "Four. Five."), most=3) == ["Four.", "Five.", "One."]


@pytest.mark.parametrize(
    "text",
    [
        "Positive",
        "Yes.",
        "not at all",
        "48 / 2 = 24 clips",
        "The passage does not say who he is.",
        "Is there anything else?",
        "Hello! Happy to help you with that.",
        "I’m sorry, but I'd have to guess.",  # noqa: RUF001 - both apostrophes
    ],
)
def test_labels_sums_questions_polite_phrases_and_answers_without_information_are_no_statements(text):
    assert not any(map(is_statement, claims(text, 9)[0]))


@pytest.mark.parametrize(
    "text",
    [
        "Sure, Anna did it.",
        "Sorry, the fee is 15%.",
        "Of course the old harbour office near the river was closed again in spring.",
    ],
)
def test_a_polite_phrase_with_a_fact_is_a_statement(text):
    assert any(map(is_statement, claims(text, 9)[0]))


@given(answer=st.text(), passage=st.text(), question=st.text())
@settings(max_examples=60)
def test_any_text_has_a_score_and_spans_within_their_texts(answer, passage, question):
    detector = loaded()
    turns = (Turn(role="user", content=question, pointer="/a"), Turn(role="tool", content=passage, pointer="/b"))
    (score,) = detector.score_answers([answer], [turns])
    assert 0.0 <= score.score <= 1.0
    assert score.flagged == bool(score.spans) == (score.label == "unsupported")
    texts = {"": answer, "/a": question, "/b": passage}
    for span in score.spans:
        assert 0 <= span.start < span.end <= len(texts[span.part])


@cache
def loaded():
    detector = create_text("groundedness", {"threads": 1, "context_characters": 1})
    detector.load()
    return detector


def test_the_model_has_one_weight_per_feature(detector):
    _, model = detector._loaded
    assert set(model.weights) == set(FEATURES)
    ones = np.ones((1, len(FEATURES)))
    assert 0.0 <= model.doubts(ones * -1e9)[0] < GroundednessConfig().threshold <= 1.0


def test_a_sentence_ends_at_punctuation_or_a_line_break_and_not_within_a_number():
    text = "It costs 3.50 in all.  Is it open? Yes\n- one item\n天气很好。我们散步。\nMr. A. Bell said “no.” He left."
    found, covered = claims(text, 100)
    assert [claim.text for claim in found] == [
        "It costs 3.50 in all.",
        "Is it open?",
        "Yes",
        "- one item",
        "天气很好。",
        "我们散步。",
        "Mr. A. Bell said “no.”",
        "He left.",
    ]
    assert [text[claim.start : claim.end] for claim in found] == [claim.text for claim in found]
    assert covered == 1.0


def test_a_claim_has_its_numbers_names_and_negation():
    (claim,), _ = claims("On Monday Ada Lovelace didn't buy two of the 1,500 cards.", 10)
    assert claim.numbers == {"2", "1500"}
    assert claim.names == {"monda", "ada", "lovel"}
    assert claim.negated
    assert claim.digits == {"1500"}


def test_a_long_line_is_cut_at_spaces_and_commas():
    text = ",".join(f'"key{number}":{number}' for number in range(200))
    found, covered = claims(text, 100)
    assert "".join(claim.text for claim in found) == text
    assert max(len(claim.text) for claim in found) <= 400
    assert covered == 1.0


@pytest.mark.parametrize("unit", ["a ", "a", ". ", "\n", "A. ", "1.", "! ", "'", "漢"])
def test_any_text_of_64_kb_is_cut_into_at_most_64_claims(unit):
    text = (unit * 65_536)[:65_536]
    found, covered = claims(text, 64)
    assert len(found) <= 64
    assert 0 < covered <= 1.0
