"""Patterns of direct insults, which the linear model scores too low in short texts ("You are a complete idiot").

A match is a phrase that begins a clause and contains both the addressed person and the insult. Texts about insults,
questions and comfort ("that does not mean you are a loser") do not match, because the phrase does not begin a clause.
"""

# ruff: noqa: RUF001 - typographic quotation marks and apostrophes
import re
from collections.abc import Iterator

__all__ = ["insults"]

_BETWEEN = (
    "a|an|all|absolute(?:ly)?|are|bloody|brainless|but|complete(?:ly)?|dirty|disgusting|dumb|fat|filthy|fucking|goddamn|"
    "hopeless|ignorant|just|lazy|little|lying|miserable|nothing|pathetic|piece|really|retarded|sad|sick|so|such|stinking|"
    "stupid|the|total(?:ly)?|ugly|useless|utter(?:ly)?|vile|worthless|and"
)
_INSULT = (
    "arseholes?|assholes?|bastards?|bitch(?:es)?|cunts?|dickheads?|dipshits?|dumbass(?:es)?|fuckers?|fuckwits?|idiots?|"
    "imbeciles?|losers?|morons?|motherfuckers?|retards?|scum|scumbags?|shitheads?|sluts?|whores?|"
    "(?:piece|sack|pile) of (?:shit|crap|garbage|trash)|waste of (?:space|oxygen|air|skin)|(?:fucking|so) (?:stupid|dumb)"
)
_CLAUSE = r"(?:^|[.!?,;:\"“”*(\n]\s{0,3}|\b(?:and|because|but|up|hell)\s)"
_PATTERN = re.compile(
    rf"(?:(?:{_CLAUSE}(?i:you)|\bY(?:ou|OU))(?:['’](?i:re)| (?i:are|r))?(?:,? (?i:{_BETWEEN})){{0,8}},? (?i:{_INSULT})"
    r"|(?i:\bfuck (?:you|off)|\bgo (?:fuck|kill|hang) yourself|\bshut the fuck up))(?!\w)"
)


def insults(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each direct insult in a text, in time linear in its length."""
    for match in _PATTERN.finditer(text):
        yield match.span()
