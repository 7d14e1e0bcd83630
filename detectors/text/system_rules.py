"""A request in view of its system prompt: whether it asks for something that the prompt keeps secret.

Two readings of the request count: its log-odds as an attack, and the log-odds that it asks for a secret (an output of the
encoder). Their weights are a logistic regression on texts of separate authors (`detectors.train.conflict`), and are stored
with the encoder's weights. Which secret it is, and what else the system prompt forbids, is not compared. A system prompt
without a secret costs nothing.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache

from detectors.base import OPERATOR_ROLES, Turn
from detectors.text.leak_words import patterns

__all__ = ["conflict_log_odds", "conflict_readings", "guards_secret"]

#: Most characters of a system prompt that are read.
READ = 16_384
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
    r"|\bonly\b[^.!?\n]{0,40}?\b(?:may (?:know|see|learn)|knows?)\b|\bknown only to\b|\btell (?:nobody|no one)\b|\bspoilers?\b"
    r"|\b(?:never|not)\b[^.!?\n]{0,15}?\b(?:state|supply|spell|utter|spread|communiqu\w*|give (?:it |them )?away|made public)\b"
    r"|\b(?:must|may|should|can) ?n[o\u2019']t (?:get|learn|find out|know|see|contain)\b|\bnot for (?:the )?(?:users?|customers?|visitors?|guests?)\b"
    r"|\b(?:keep|guard|protect|hide)\b[^.!?\n]{0,30}?\b(?:it|this|word|code|number)\b"
)
#: Largest absolute value of a reading that counts.
_BOUND = 4.0


@cache
def _secret() -> re.Pattern[str]:
    listed = patterns()
    return re.compile(f"{listed.noun.pattern}|{listed.confidential.pattern}|{_NAMED}|{_WITHHELD}", re.IGNORECASE)


def guards_secret(turns: Iterable[Turn]) -> bool:
    """Return whether the first `READ` characters of the system messages among ``turns`` mention a secret."""
    return _mentions("\n".join(turn.content for turn in turns if turn.role in OPERATOR_ROLES)[:READ])


@lru_cache(maxsize=256)
def _mentions(system: str) -> bool:
    return _secret().search(system) is not None


def conflict_readings(own: float, asks: float) -> tuple[float, float]:
    """Return the two readings of a request, within -4 to 4: the log-odds that it is an attack, and that it asks for a secret."""
    return min(_BOUND, max(-_BOUND, own)), min(_BOUND, max(-_BOUND, asks))


def conflict_log_odds(readings: Sequence[float], constants: Sequence[float]) -> float:
    """Return the log-odds that a request asks for a secret of its system prompt; ``constants``: two slopes and a shift."""
    *slopes, shift = constants
    return sum(slope * reading for slope, reading in zip(slopes, readings, strict=True)) + shift
