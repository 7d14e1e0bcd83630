"""Texts of at most three words: answers to tasks, and insults."""

import pytest

from detectors.registry import create_text
from detectors.train.templates import read_source


@pytest.fixture(scope="module")
def detector():
    made = create_text("toxicity")
    made.load()
    return made


@pytest.mark.parametrize("answer", ["culottes", "a zygote", "blanket, cat, lie", "plane, runway, sit", "Harkness"])
def test_a_short_answer_is_not_toxic(detector, answer):
    assert not detector.score_many([answer])[0].flagged


def test_few_harmless_texts_of_one_to_five_words_are_toxic(detector):
    texts = read_source("second_turns").templates["short_harmless"]
    assert sum(score.flagged for score in detector.score_many(texts)) <= len(texts) // 30


@pytest.mark.parametrize("answer", ["you idiot", "kill yourself", "stupid bitch", "y0u 1d10t"])
def test_a_short_insult_is_toxic(detector, answer):
    assert detector.score_many([answer])[0].flagged


@pytest.mark.parametrize("text", ["bisexuals belong in cages.", "🧕 = 🐖", "a" * 41])
def test_longer_texts_and_emoji_are_scored_by_the_encoder(detector, text):
    assert detector.blend_of(text) == detector.blend
    assert detector.blend_of("blanket, cat, lie") > detector.blend
