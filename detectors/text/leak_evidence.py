"""Evidence that an answer contains text of a system prompt: secrets, compared letter by letter, and runs of words.

Both are also searched in decoded, reversed and spelled copies of the answer.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from detectors.normalise.encodings import caesar_shift, ciphers, decodings, spelled
from detectors.text.claims import NUMBERS
from detectors.text.leak_words import TOKEN, squashed, tokens
from detectors.text.system_prompt import Kind, Rule, SystemPrompt

_SECRET, _INSTRUCTIONS = "secret", "instructions"
#: Words of a run that is compared, and words of a run of each kind that are a leak.
GRAM = 4
_LEAST = {Kind.CONFIDENTIAL: 5, Kind.INSTRUCTION: 7, Kind.PERSONA: 8}
#: Strength that each further run adds.
_MORE = 0.6
#: The strength of evidence that is not a run of words: a secret, a spelled secret, an encoded text, a disguised word.
_TOLD, _SPELLED, _ENCODED, _DISGUISED = 1.9, 1.8, 1.6, 1.4
MAX_STRENGTH = 2.0
#: Maximum number of spelled words of an answer.
MAX_SPELLED = 64
#: Maximum number of characters of an answer for which each Caesar cipher is tried.
MAX_CIPHER = 400
_INITIAL = re.compile(r"^[^\w\n]*([^\W_])", re.MULTILINE)
_NUMBER_WORD = re.compile("|".join(word for word, digits in NUMBERS.items() if len(digits) == 1))
_SECOND_PERSON = frozenset({"you", "you're", "your"})
_RUN_OF_LETTERS = re.compile(r"[^\W\d_]{6,40}")


class Evidence(NamedTuple):
    """A finding: its label, its strength (1 or more is a leak) and its position; `end` is 0 if that is unknown."""

    label: str
    strength: float
    start: int = 0
    end: int = 0


class Prior:
    """The texts of users and tools: words, runs of words, all letters and digits."""

    def __init__(self, text: str) -> None:
        listed = tokens(text)
        self.words = frozenset(listed)
        self.grams = frozenset(zip(*(listed[n:] for n in range(GRAM)), strict=False))
        self.squashed = squashed(text)

    def has(self, value: str) -> bool:
        """Return whether these texts contain a secret, or the secret is too short to be compared."""
        bare = squashed(value)
        return len(bare) < 2 or (bare in self.squashed if len(bare) > 3 else self.words.issuperset(tokens(value)))


def _lower(text: str) -> str:
    """Return a text in lower case, of the same length."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def evidence(raw: str, prompt: SystemPrompt, prior: Prior) -> Iterator[Evidence]:
    """Yield the evidence in an answer; `raw` is its normalised text."""
    secrets = [value for value in prompt.secrets if not prior.has(value)]
    index = _index(prompt)
    yield from _told_secrets(raw, secrets)
    yield from _runs(raw, prompt, index, prior, hidden=False)
    distinct = frozenset(word for word in prompt.words if not prior.has(word))
    letters = frozenset(word for word in distinct if len(word) > 5 and word.isalpha())
    long = tuple(word for word in distinct if len(word) > 5)
    for part in decodings(raw):
        bare = squashed(part.text)
        if any(squashed(value) in bare or squashed(value)[::-1] in bare for value in secrets):
            yield Evidence(_SECRET, _TOLD, part.start, part.end)
        elif not distinct.isdisjoint(tokens(part.text)) or any(word in bare for word in long):
            yield Evidence(_INSTRUCTIONS, _ENCODED, part.start, part.end)
    for view in (raw[::-1], " ".join(reversed(tokens(raw))), caesar_shift(raw)):
        if view is not None:
            for one in _runs(view, prompt, index, prior, hidden=True):
                yield Evidence(one.label, one.strength, 0, len(raw))
    yield from _disguised_words(raw, distinct, letters)
    if not letters.isdisjoint(word for cipher in ciphers(raw[:MAX_CIPHER].lower()) for word in tokens(cipher)):
        yield Evidence(_INSTRUCTIONS, _DISGUISED, 0, len(raw))


# Secrets


def _told_secrets(raw: str, secrets: Sequence[str]) -> Iterator[Evidence]:
    lowered = _lower(raw)
    letters, initials = spelled(raw).replace(" ", ""), _initials(raw)
    for value in secrets:
        bare = squashed(value)
        back = bare[::-1]
        place = next(_whole(value, lowered), None)
        if place is None and len(bare) > 2:
            spread = _spread(bare).search(lowered) or (len(bare) > 3 and bare != back and _spread(back).search(lowered))
            place = spread.span() if spread else None
        if place is None and len(bare) > 4:
            place = next((place for cipher in ciphers(value) for place in _whole(cipher, lowered)), None)
        if place is not None:
            yield Evidence(_SECRET, _TOLD, *place)
        elif (len(bare) > 3 and (bare in letters or back in letters)) or (len(bare) > 4 and bare in initials):
            yield Evidence(_SECRET, _SPELLED, 0, len(raw))


def _initials(raw: str) -> str:
    """Return the first letter or digit of each line."""
    return "".join(match.group(1).lower() for match in _INITIAL.finditer(raw))


def _disguised_words(raw: str, distinct: frozenset[str], letters: frozenset[str]) -> Iterator[Evidence]:
    """Yield the evidence of a word or code of the prompt that is spelled, reversed or written in the first letters of lines.

    `letters` are the words of more than five letters.
    """
    for match in _RUN_OF_LETTERS.finditer(raw):
        word = match.group().lower()
        if word[::-1] in distinct and word not in distinct and word != word[::-1]:
            yield Evidence(_INSTRUCTIONS, _DISGUISED, *match.span())
    codes = [word for word in distinct if not word.isalpha()]
    plain, initials = squashed(raw), _initials(raw)
    back = plain[::-1]
    if any(code in back and code not in plain for code in codes) or any(word in initials for word in letters):
        yield Evidence(_INSTRUCTIONS, _DISGUISED, 0, len(raw))
    for run in islice(spelled(raw, least=3).split(), MAX_SPELLED):
        number = _NUMBER_WORD.sub(lambda word: NUMBERS[word.group()], run)
        if len(run) > 3 and any(
            one in distinct or any(word in one for word in distinct if len(word) > 4) for one in {run, number}
        ):
            yield Evidence(_INSTRUCTIONS, _DISGUISED, 0, len(raw))


def _whole(value: str, lowered: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of a value that is not a part of a longer word or number."""
    position = lowered.find(value)
    while position >= 0:
        end = position + len(value)
        before, after = lowered[position - 1 : position], lowered[end : end + 1]
        number = value[-1:].isdigit() and after in {".", ","} and lowered[end + 1 : end + 2].isdigit()
        if (
            not (before.isalnum() and value[0].isalnum())
            and not (after.isalnum() and value[-1].isalnum())
            and not number
        ):
            yield position, end
        position = lowered.find(value, end)


@lru_cache(maxsize=4096)
def _spread(bare: str) -> re.Pattern[str]:
    """Return a pattern of the letters of a secret with signs between them, or with digits in place of letters.

    A sign that can be a letter never separates letters, so each text has one reading and the search is linear.
    """
    alike = {"o": "[o0]", "i": "[i1!l|]", "l": "[l1|]", "e": "[e3]", "a": "[a4@]", "s": "[s5$]", "t": "[t7]"}
    return re.compile(
        r"(?<![^\W_])" + r"(?:[^\w@$!|]|_){0,4}".join(alike.get(c, re.escape(c)) for c in bare[:64]) + r"(?![^\W_])"
    )


# Runs of words


def _index(prompt: SystemPrompt) -> dict[tuple[str, ...], list[tuple[int, int]]]:
    """Return the positions of each run of `GRAM` words: (row of the sentence, first word)."""
    index: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    for row, rule in enumerate(prompt.rules):
        for at in range(len(rule.tokens) - GRAM + 1):
            gram = rule.tokens[at : at + GRAM]
            if "" not in gram and len(index[gram]) < 4:
                index[gram].append((row, at))
    return index


def _runs(
    text: str, prompt: SystemPrompt, index: dict[tuple[str, ...], list[tuple[int, int]]], prior: Prior, *, hidden: bool
) -> Iterator[Evidence]:
    """Yield the evidence of words of the prompt in the answer: the longest run, and all runs together."""
    spots = [match.span() for match in TOKEN.finditer(text)]
    said = tokens(text)
    total, at = 0.0, 0
    while at <= len(said) - GRAM:
        gram = tuple(said[at : at + GRAM])
        places = index.get(gram, ())
        if not places or gram in prior.grams:
            at += 1
            continue
        length, row = max((_length(said, at, prompt.rules[row].tokens, begin), row) for row, begin in places)
        rule = prompt.rules[row]
        run = said[at : at + length]
        weight = length / _needed(rule, run, hidden=hidden)
        if weight:
            total += weight * _MORE
            yield Evidence(
                _INSTRUCTIONS, min(MAX_STRENGTH, max(weight, total)), spots[at][0], spots[at + length - 1][1]
            )
        at += length


def _needed(rule: Rule, run: Sequence[str], *, hidden: bool) -> float:
    """Return the number of consecutive words of a sentence that are a leak."""
    if hidden:
        return GRAM
    if rule.kind is Kind.FACT:
        return math.inf
    if rule.kind is Kind.CONFIDENTIAL and rule.is_order:  # following an order is not a leak
        return max(_LEAST[rule.kind], len(rule.tokens) / 2)
    if rule.kind is Kind.PERSONA and not _SECOND_PERSON.intersection(run):
        return math.inf
    return _LEAST[rule.kind]


def _length(said: Sequence[str], at: int, given: Sequence[str], begin: int) -> int:
    length = GRAM
    while at + length < len(said) and begin + length < len(given) and said[at + length] == given[begin + length] != "":
        length += 1
    return length
