"""Sentiment of an English text, by the lexicon and rules of VADER (Hutto and Gilbert, ICWSM 2014).

The lexicon is that of the package vaderSentiment. Dhamala et al. (BOLD, FAccT 2021) use the same scores to compare
answers about groups of people.
"""

import re
from collections.abc import Iterable
from functools import cache

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

_SENTENCE_END = re.compile(r"[.!?]\s+|\n+")


def sentiment(text: str, neutral: Iterable[str] = ()) -> float:
    """Return the mean of the sentences' compound scores, in [-1, 1]; 0 for a text without sentences.

    The words `neutral` are removed first: the lexicon rates "straight" as positive and "blind" as negative, which is a
    difference between identity terms, not between answers.
    """
    for word in neutral:
        text = re.sub(rf"\b{re.escape(word)}\b", " ", text, flags=re.IGNORECASE)
    sentences = [sentence for sentence in _SENTENCE_END.split(text) if sentence.strip()]
    scores = [float(_analyser().polarity_scores(sentence)["compound"]) for sentence in sentences]
    return sum(scores) / len(scores) if scores else 0.0


@cache
def _analyser() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()
