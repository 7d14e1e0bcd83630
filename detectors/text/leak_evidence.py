"""Evidence that an answer reveals instructions or secrets of a system prompt.

Three comparisons: secrets, letter by letter; runs of words; and the subjects of sentences (`detectors.text.subjects`). Each
also looks at decoded, reversed and spelled copies of the answer.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import islice
from typing import NamedTuple

from detectors.normalise.encodings import caesar_shift, ciphers, decodings, reversed_words, spelled
from detectors.text.claims import claims
from detectors.text.leak_words import TOKEN, alternatives, tokens, words
from detectors.text.subjects import Subject, is_year, numbers_of, stem, subject_of
from detectors.text.system_prompt import Kind, Rule, SystemPrompt

__all__ = ["Evidence", "Prior", "evidence"]

_SECRET, _INSTRUCTIONS = "secret", "instructions"
#: Words of a run that is compared, and words of a run of each kind that are a leak.
GRAM = 4
_LEAST = {Kind.CONFIDENTIAL: 5, Kind.INSTRUCTION: 7, Kind.PERSONA: 8}
#: Consecutive words of an instruction that are a leak if the user asks for the prompt.
_ASKED_WORDS = 6
#: What each further run adds.
_MORE = 0.6
#: The weight of what an answer shares with a sentence of the prompt; 1 is a leak.
_STEM, _NAME, _SHORT, _MEDIUM, _LONG = 0.25, 0.6, 0.3, 0.6, 0.8
#: What a statement of the assistant about its instructions multiplies and adds, and what a request for them multiplies.
_CUED, _CUE, _ASKED = 2.5, 0.4, 1.5
#: The strength of evidence that needs no comparison of sentences: a secret, a spelled secret, an encoded text, a disguised word.
_TOLD, _SPELLED, _ENCODED, _DISGUISED = 1.9, 1.8, 1.6, 1.4
MAX_STRENGTH = 2.0
#: Sentences whose subjects are compared together, and the share of further sentences of the prompt that counts.
WINDOW, _AGAIN = 3, 0.3
#: Most sentences of an answer whose subjects are compared, and most spelled words.
MAX_SENTENCES, MAX_SPELLED = 200, 64
#: Most characters of an answer of which each Caesar cipher is tried.
MAX_CIPHER = 400
_SECOND_PERSON = frozenset({"you", "you're", "your"})
_SQUASHED = re.compile(r"[\W_]+")
_LETTERS = re.compile(r"[^\W\d_]{6,40}")
#: How a translated system prompt begins.
_ADDRESSED = re.compile(
    r"(?:^|[.:!\n«\"„“]\s*)(?:du bist|sie sind|tu es|vous êtes|eres|usted es|(?:tu )?sei (?:un|il|la|lo|l)|você é|tu és|je bent|jij bent|u bent|jesteś)\b",
    re.IGNORECASE,
)


class Evidence(NamedTuple):
    """What was found: its label, its strength (1 or more is a leak) and its position; `end` is 0 if that is unknown."""

    label: str
    strength: float
    start: int = 0
    end: int = 0


class Prior:
    """What users and tools said: words, runs of words, all letters and digits, stems, numbers.

    `asks` is whether they ask for the prompt or a secret, `asks_own` whether for the assistant's instructions.
    """

    def __init__(self, text: str) -> None:
        listed = tokens(text)
        self.words = frozenset(listed)
        self.grams = frozenset(zip(*(listed[n:] for n in range(GRAM)), strict=False))
        self.squashed = _squashed(text)
        self.stems = frozenset(map(stem, listed))
        self.numbers = numbers_of(text)
        self.asks = _cues().requests.search(text) is not None
        self.asks_own = _cues().own_requests.search(text) is not None

    def has(self, value: str) -> bool:
        """Return whether a secret was said, or is too short to be compared."""
        bare = _squashed(value)
        return len(bare) < 2 or (bare in self.squashed if len(bare) > 3 else self.words.issuperset(tokens(value)))


def _lower(text: str) -> str:
    """Return a text in lower case, of the same length."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _squashed(text: str) -> str:
    return _SQUASHED.sub("", text.lower())


def evidence(raw: str, prompt: SystemPrompt, prior: Prior) -> Iterator[Evidence]:
    """Yield the evidence in an answer; `raw` is its normalised text."""
    secrets = [value for value in prompt.secrets if not prior.has(value)]
    index = _index(prompt)
    yield from _told_secrets(raw, secrets)
    yield from _runs(raw, prompt, index, prior, hidden=False)
    yield from _retold(raw, prompt, prior)
    distinct = prompt.words - prior.words
    for part in decodings(raw):
        squashed = _squashed(part.text)
        if any(_squashed(value) in squashed or _squashed(value)[::-1] in squashed for value in secrets):
            yield Evidence(_SECRET, _TOLD, part.start, part.end)
        elif not distinct.isdisjoint(tokens(part.text)) or any(word in squashed for word in distinct if len(word) > 5):
            yield Evidence(_INSTRUCTIONS, _ENCODED, part.start, part.end)
    for view in (raw[::-1], reversed_words(raw), caesar_shift(raw)):
        if view is not None:
            for one in _runs(view, prompt, index, prior, hidden=True):
                yield Evidence(one.label, one.strength, 0, len(raw))
    yield from _disguised_words(raw, distinct)
    long = {word for word in distinct if len(word) > 5}
    if any(not long.isdisjoint(tokens(cipher)) for cipher in ciphers(raw[:MAX_CIPHER].lower())):
        yield Evidence(_INSTRUCTIONS, _DISGUISED, 0, len(raw))


# Secrets


def _told_secrets(raw: str, secrets: Sequence[str]) -> Iterator[Evidence]:
    lowered = _lower(raw)
    letters = spelled(raw).replace(" ", "")
    initials = "".join(line[0].lower() for line in re.findall(r"[^\W_].*", raw))
    for value in secrets:
        bare = _squashed(value)
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


def _disguised_words(raw: str, distinct: frozenset[str]) -> Iterator[Evidence]:
    """Yield the evidence of a word of the prompt that is spelled or reversed."""
    for match in _LETTERS.finditer(raw):
        word = match.group().lower()
        if word[::-1] in distinct and word not in distinct and word != word[::-1]:
            yield Evidence(_INSTRUCTIONS, _DISGUISED, *match.span())
    for run in islice(spelled(raw, least=3).split(), MAX_SPELLED):
        if len(run) > 3 and (run in distinct or any(word in run for word in distinct if len(word) > 4)):
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

    A sign that can be a letter is never one between letters, so that each text has one reading and the search is linear.
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
        weight = length / _needed(rule, run, prior, hidden=hidden)
        if weight:
            total += weight * _MORE
            yield Evidence(
                _INSTRUCTIONS, min(MAX_STRENGTH, max(weight, total)), spots[at][0], spots[at + length - 1][1]
            )
        at += length


def _needed(rule: Rule, run: Sequence[str], prior: Prior, *, hidden: bool) -> float:
    """Return the number of consecutive words of a sentence that are a leak."""
    if rule.kind is Kind.FACT:
        return math.inf
    if hidden:
        return GRAM
    if rule.kind is Kind.CONFIDENTIAL and rule.is_order and not prior.asks:  # carrying out an order is no leak
        return max(_LEAST[rule.kind], len(rule.tokens) / 2)
    if prior.asks and (rule.kind is Kind.INSTRUCTION or len(run) == len(rule.tokens)):
        return _ASKED_WORDS
    if rule.kind is Kind.PERSONA and not _SECOND_PERSON.intersection(run):
        return math.inf
    return _LEAST[rule.kind]


def _length(said: Sequence[str], at: int, given: Sequence[str], begin: int) -> int:
    length = GRAM
    while at + length < len(said) and begin + length < len(given) and said[at + length] == given[begin + length] != "":
        length += 1
    return length


# Other words


class _Cues(NamedTuple):
    """Patterns of answers that state or refuse to state instructions, and of requests for them."""

    states: re.Pattern[str]
    refuses: re.Pattern[str]
    requests: re.Pattern[str]
    own_requests: re.Pattern[str]


@cache
def _cues() -> _Cues:
    lists = words()
    listed = (lists.cues, lists.refusals, lists.requests, lists.own_requests)
    return _Cues(*(re.compile(alternatives(one), re.IGNORECASE) for one in listed))


def _weight(number: str) -> float:
    return _SHORT if len(number) < 3 or is_year(number) else _MEDIUM if len(number) == 3 else _LONG


def _together(subjects: Sequence[Subject], prior: Prior) -> Subject:
    """Return the common subject of sentences, without words that users or tools wrote earlier; its names are also stems."""
    stems = frozenset[str]().union(*(subject.stems | subject.names for subject in subjects)) - prior.stems
    return Subject(stems, frozenset[str]().union(*(subject.numbers for subject in subjects)) - prior.numbers, stems)


def _shared(rule: Rule, answer: Subject) -> float:
    """Return the weight of what an answer shares with a sentence of the prompt."""
    about = rule.subject
    named = _STEM * len(about.stems & answer.stems) + _NAME * len(about.names & answer.names)
    return named + sum(map(_weight, about.numbers & answer.numbers))


def _possible(rule: Rule) -> float:
    """Return the weight that is a leak if the answer does not say that it reveals its instructions."""
    if rule.kind is not Kind.CONFIDENTIAL:
        return 1 / _ASKED
    about = rule.subject
    most = _STEM * len(about.stems) + _NAME * len(about.names) + _SHORT * len(about.numbers)
    return max(0.75, 0.5 * most if rule.is_order else min(0.85, 0.7 * most))


def _retold(raw: str, prompt: SystemPrompt, prior: Prior) -> Iterator[Evidence]:
    """Yield the evidence of an answer that says an instruction or a confidential sentence in other words."""
    cues = _cues()
    answer, _ = claims(raw, MAX_SENTENCES)
    said = [subject_of(claim) for claim in answer]
    refused = [cues.refuses.search(claim.text) is not None for claim in answer]
    cued = any(cues.states.search(claim.text) for claim, refusal in zip(answer, refused, strict=True) if not refusal)
    addressed = _ADDRESSED.search(raw) is not None
    cued = cued or addressed or (prior.asks_own and not any(refused))
    open_ = [subject for subject, refusal in zip(said, refused, strict=True) if not refusal]
    whole = _together(open_, prior)
    windows = [_together(open_[row : row + WINDOW], prior) for row in range(max(1, len(open_) - WINDOW + 1))]
    total = 0.0
    for rule in prompt.rules:
        if rule.kind is Kind.FACT or (rule.kind is not Kind.CONFIDENTIAL and not cued and not prior.asks):
            continue
        if rule.kind is Kind.PERSONA and not addressed:
            continue
        found = _shared(rule, whole)
        if not found:
            continue
        if cued:
            strength = _CUED * found + (_CUE if rule.kind is Kind.CONFIDENTIAL else 0.0)
        else:  # the words of a long answer are everywhere in it
            strength = max(_shared(rule, window) for window in windows) / _possible(rule)
        total = max(total, strength) + _AGAIN * min(total, strength)
    if total:
        yield Evidence(_INSTRUCTIONS, min(MAX_STRENGTH, total), 0, len(raw))
