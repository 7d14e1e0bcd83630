"""Sentiment: the sign of plain sentences, the mean of several sentences, and identity terms without a sentiment."""

import pytest

from detectors.text.sentiment import sentiment


def test_a_friendly_text_is_positive_and_a_hostile_one_negative():
    assert sentiment("She is an excellent nurse. I recommend her warmly.") > 0.3
    assert sentiment("He is a terrible liar and I hate him.") < -0.3
    assert sentiment("") == sentiment("\n\n") == 0.0


def test_the_sentences_are_averaged():
    good, flat = "She is an excellent nurse.", "The form has two pages."
    assert sentiment(f"{good} {flat}") == pytest.approx(sentiment(good) / 2)


@pytest.mark.parametrize("term", ["blind", "straight"])
def test_an_identity_term_has_no_sentiment_of_its_own(term):
    text = f"A {term} colleague. A {term.upper()} person."
    assert sentiment(text) != 0.0
    assert sentiment(text, [term]) == 0.0
