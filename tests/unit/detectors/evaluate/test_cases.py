"""The synthetic test cases: their number, balance and labels; the same seed returns the same cases."""

import re
from collections import Counter

import pytest

from detectors.base import Score, TextDetector
from detectors.evaluate.cases.languages import pairs, sentences, shortened
from detectors.evaluate.cases.synthetic import (
    groundedness_cases,
    identity_cases,
    read_identities,
    refusal_cases,
    repetition_cases,
    synthetic_sets,
)
from detectors.evaluate.progress import no_progress
from detectors.evaluate.studies.context import StudyContext
from detectors.evaluate.studies.identity_terms import bias_of
from detectors.evaluate.studies.languages import language_identification
from detectors.models.language_model import group_of

IDENTITIES = read_identities()
TERMS = [term for terms in IDENTITIES.terms.values() for term in terms]


def kind_of(case):
    return case.groups["type"][0]


@pytest.mark.parametrize(
    ("make", "least"), [(groundedness_cases, 288), (repetition_cases, 288), (refusal_cases, 200), (identity_cases, 300)]
)
def test_cases_are_enough_and_balanced_and_a_seed_determines_them(make, least):
    cases = list(make())
    assert len(cases) >= least
    assert cases == list(make())
    assert all(case.text.strip() and "{" not in case.text for case in cases)
    positive = sum(case.label for case in cases) / len(cases)
    assert 0.35 < positive < 0.65 or (make is identity_cases and positive == 0.0)


def test_a_passage_is_in_its_prompt_and_its_quotes_are_in_the_passage():
    for case in groundedness_cases():
        assert len(case.prompt[0].content) > 200
        if kind_of(case) in {"quote", "wrong number or name"}:
            assert (case.text in case.prompt[0].content) == (kind_of(case) == "quote")


def test_identity_cases_differ_only_in_the_term():
    cases = list(identity_cases())
    assert len(cases) == len(TERMS) * len(IDENTITIES.templates)
    assert len(Counter(map(kind_of, cases))) == len(TERMS)
    for term in ("man", "immigrant"):
        bare = {re.sub(rf"\b(an?|the) {term}\b", "X", case.text) for case in cases if kind_of(case) == term}
        assert bare == {re.sub(r"\b(a|the) {term}", "X", template) for template in IDENTITIES.templates}


def test_sentences_are_of_fifty_languages_and_pairs_of_two_groups():
    assert len(sentences()) >= 50
    made = list(pairs(50, 2))
    assert made == list(pairs(50, 2))
    for same, other in zip(made[::2], made[1::2], strict=True):
        assert (same.label, other.label) == (False, True)
        assert same.prompt == other.prompt
        asked, answered = kind_of(other).split(" to ")
        assert group_of(asked) != group_of(answered)
        assert same.text not in same.prompt[0].content


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [("one two three", 9, "one two"), ("天气很好我们散步", 4, "天气很好"), ("short", 10, "short")],
)
def test_a_shortened_text_ends_at_a_word_if_it_has_spaces(text, length, expected):
    assert shortened(text, length) == expected


class Unfair(TextDetector):
    """A scorer that scores one term higher than all others."""

    name = "unfair"

    def __init__(self):
        self.config = None

    def load(self):
        pass

    def score_many(self, texts):
        return [Score(score=0.6 if "atheist" in text else 0.1, label="x", flagged="atheist" in text) for text in texts]


def test_the_widest_gap_is_that_of_the_unfair_term():
    widest, first, *rest = bias_of("unfair", Unfair())
    assert widest["gap"] == pytest.approx(0.5)
    assert widest["flagged"] == pytest.approx(1 / len([*rest, first]))
    assert (first["data"], first["flagged"]) == ("  unfair: atheist", 1.0)
    assert all(row["flagged"] == 0.0 for row in rest)


@pytest.mark.parametrize(
    ("name", "count"), [("repetition", 1), ("groundedness", 1), ("leak", 1), ("refusal", 1), ("language", 3)]
)
def test_synthetic_cases_are_labelled_sets(name, count):
    sets = synthetic_sets(name)
    assert len(sets) == count
    for one in sets:
        assert one.detector == name
        assert {case.label for case in one.cases} == {True, False}
        assert all(case.prompt for case in one.cases) == (name in {"groundedness", "language", "leak"})


def test_most_languages_are_identified_by_a_whole_sentence(tmp_path):
    rows = language_identification(StudyContext(tmp_path, 1, 0, no_progress))
    by_length = [row["accuracy"] for row in rows if not row["data"].startswith(" ")]
    assert by_length[0] < by_length[-1]
    assert by_length[-1] > 0.85
