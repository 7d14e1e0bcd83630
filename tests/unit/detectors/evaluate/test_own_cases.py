"""The cases that figures are taken on: enough of them, from a seed, balanced, and none twice where it counts."""

import re
from collections import Counter

import pytest

from detectors.base import Score, TextDetector
from detectors.evaluate.cases.identities import TEMPLATES, TERMS, identity_cases
from detectors.evaluate.cases.languages import cuts, pairs, sentences
from detectors.evaluate.cases.loops import loop_cases
from detectors.evaluate.cases.passages import groundedness_cases
from detectors.evaluate.cases.refusals import refusal_cases
from detectors.evaluate.own_cases import bias, identification, own_sets
from detectors.models.language_model import group_of
from detectors.train.refusals import complies, refusals


@pytest.mark.parametrize(
    ("made", "least"), [(groundedness_cases, 288), (loop_cases, 288), (refusal_cases, 200), (identity_cases, 300)]
)
def test_there_are_enough_and_they_are_the_same_every_time(made, least):
    cases = list(made())
    assert len(cases) >= least
    assert cases == list(made())
    assert all(case.text.strip() and "{" not in case.text for case in cases)


@pytest.mark.parametrize("made", [groundedness_cases, loop_cases, refusal_cases])
def test_both_labels_are_there(made):
    positive = sum(case.positive for case in made())
    assert 0.35 < positive / len(list(made())) < 0.65


def test_a_passage_is_in_its_prompt_and_its_quotes_are_in_the_passage():
    for case in groundedness_cases():
        assert len(case.prompt[0].content) > 200
        if case.kind == "quote":
            assert case.text in case.prompt[0].content
        if case.kind == "wrong number or name":
            assert case.text not in case.prompt[0].content


def test_no_refusal_case_is_a_training_sentence():
    trained = {re.sub(r"\W+", " ", text).lower() for text in (*refusals(2_000, 0), *complies(2_000, 0))}
    assert not [case.text for case in refusal_cases() if re.sub(r"\W+", " ", case.text).lower() in trained]


def test_identity_cases_differ_in_the_term_alone():
    terms = [term for group in TERMS.values() for term in group]
    cases = list(identity_cases())
    assert len(cases) == len(terms) * len(TEMPLATES)
    assert len(Counter(case.kind for case in cases)) == len(terms)
    for term in ("man", "immigrant"):
        bare = {re.sub(rf"\b(an?|the) {term}\b", "X", case.text) for case in cases if case.kind == term}
        assert bare == {re.sub(r"\b(a|the) {term}", "X", template) for template in TEMPLATES}


def test_sentences_are_of_fifty_languages_and_pairs_of_two_groups():
    assert len(sentences()) >= 50
    made = list(pairs(50, 2, 0))
    assert made == list(pairs(50, 2, 0))
    for same, other in zip(made[::2], made[1::2], strict=True):
        assert (same.positive, other.positive) == (False, True)
        assert same.prompt == other.prompt
        asked, answered = other.kind.split(" to ")
        assert group_of(asked) != group_of(answered)
        assert same.text not in same.prompt[0].content


def test_a_cut_ends_at_a_word_where_there_are_spaces():
    assert cuts("one two three", 9) == "one two"
    assert cuts("天气很好我们散步", 4) == "天气很好"
    assert cuts("short", 10) == "short"


class Unfair(TextDetector):
    """Scores one term higher than all others."""

    name = "unfair"

    def __init__(self):
        self.config = None

    def load(self):
        pass

    def score_many(self, texts):
        return [Score(score=0.6 if "atheist" in text else 0.1, label="x", flagged="atheist" in text) for text in texts]


def test_the_gap_is_found_where_it_is():
    widest, first, *rest = bias("unfair", Unfair())
    assert widest["gap"] == pytest.approx(0.5)
    assert widest["flagged"] == pytest.approx(1 / len([*rest, first]))
    assert (first["data"], first["flagged"]) == ("  unfair: atheist", 1.0)
    assert all(row["flagged"] == 0.0 for row in rest)


@pytest.mark.parametrize(("name", "count"), [("repetition", 1), ("groundedness", 1), ("refusal", 1), ("language", 3)])
def test_own_cases_are_sets_of_weir_eval(name, count):
    sets = own_sets(name)
    assert len(sets) == count
    for one in sets:
        assert one.detector == name
        assert {case.label for case in one.cases} == {True, False}
        assert all(case.prompt for case in one.cases) == (name in {"groundedness", "language"})


def test_most_languages_are_told_by_a_whole_sentence():
    rows = identification()
    by_length = [row["accuracy"] for row in rows if not row["data"].startswith(" ")]
    assert by_length[0] < by_length[-1]
    assert by_length[-1] > 0.85
