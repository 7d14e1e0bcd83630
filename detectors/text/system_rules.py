"""A request in view of its system prompt: whether it asks for something that the prompt keeps secret.

Three readings of the request count: its log-odds as an attack, the log-odds that it asks for a secret (an output of the
encoder), and the cosine of the frozen embeddings of the request and of the nearest sentence about a secret. Their weights
are a logistic regression on texts of a separate author (`detectors.train.conflict`), and are stored with the encoder's weights.
Sentences that forbid a subject are not compared: the nearest rule of an allowed request is often the one that allows it
("only answer questions about banking"). A system prompt without a secret costs nothing.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache

from detectors.base import Turn
from detectors.text.leak_words import patterns

__all__ = ["conflict_log_odds", "conflict_readings", "secrets_of"]

#: Most characters of a system prompt that are read, most sentences that are kept, and most characters of a sentence.
READ, KEPT, LONGEST = 16_384, 16, 600
_SYSTEM = frozenset({"system", "developer"})
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")
#: What is kept secret; the word list of the detector leak has more.
_NAMED = (
    r"\b(?:secret\w*|passw\w*|passphrase|(?:meal|lock|gate|door) code|code ?word|code ?[:=]|access (?:granted|denied)|(?:magic|access|call|solution|pass) ?(?:word|phrase|sentence|number|sign)"
    r"|secreto|c[oó]digo)\b|\bcode (?:is|to the|['\"(])|\b(?:pass|reveal_\w+|hidden|internal) ?[:=]"
)
#: An order to withhold something, such as "never reveal" or "only the staff may know"; "never give advice" is none.
_WITHHELD = (
    r"(?:n['\u2019]t|\b(?:never|not|nobody|no one|refuse|avoid|without|only|cannot|nie|niemals|nicht|nunca|jamais|ne|no))\b[^.!?\n]{0,60}?"
    r"\b(?:(?:reveal|disclos|divulg|betray|confirm|hint|verrat|nenne|revel|révél|divulgu)\w*|leak (?:it|this|the)"
    r"|(?:tell|share|mention|print|output|learn|hand|say|give)\b[^.!?\n]{0,25}?"
    r"\b(?:it|this|out|anyone|anybody|whether|over|word|key|name|(?:to|with) (?:\w+ )?(?:users?|customers?|visitors?|guests?)))\b"
    r"|\bonly\b[^.!?\n]{0,40}?\bmay (?:know|see|learn)\b"
    r"|\b(?:keep|guard|protect|hide)\b[^.!?\n]{0,30}?\b(?:it|this|word|code|number)\b"
)
#: Largest absolute value of a reading in log-odds that counts.
_BOUND = 4.0


@cache
def _secret() -> re.Pattern[str]:
    listed = patterns()
    return re.compile(f"{listed.noun.pattern}|{listed.confidential.pattern}|{_NAMED}|{_WITHHELD}", re.IGNORECASE)


def secrets_of(turns: Iterable[Turn]) -> tuple[str, ...]:
    """Return the sentences about secrets in the system messages among ``turns``; at most the first `KEPT`."""
    return _secrets("\n".join(turn.content for turn in turns if turn.role in _SYSTEM)[:READ])


@lru_cache(maxsize=256)
def _secrets(system: str) -> tuple[str, ...]:
    sentences = (sentence.strip()[:LONGEST] for sentence in _SENTENCE.split(system))
    return tuple([sentence for sentence in sentences if _secret().search(sentence)][:KEPT])


def conflict_readings(own: float, asks: float, cosine: float) -> tuple[float, float, float]:
    """Return the three readings of a request, those in log-odds within -4 to 4.

    ``own`` is the log-odds of the request alone, ``asks`` the log-odds that it asks for a secret, and ``cosine`` the
    cosine with the nearest sentence about a secret.
    """
    return min(_BOUND, max(-_BOUND, own)), min(_BOUND, max(-_BOUND, asks)), cosine


def conflict_log_odds(readings: Sequence[float], constants: Sequence[float]) -> float:
    """Return the log-odds that a request asks for a secret of its system prompt; ``constants``: three slopes and a shift."""
    *slopes, shift = constants
    return sum(slope * reading for slope, reading in zip(slopes, readings, strict=True)) + shift
