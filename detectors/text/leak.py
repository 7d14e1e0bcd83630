"""Leak detector: an answer that tells instructions or secrets of the system prompt.

It compares the answer, and copies of it in which encodings are undone, with the sentences and secrets of the system prompt
(`detectors.text.system_prompt`). What the user or a tool result said first is no leak.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Annotated, ClassVar, NamedTuple

import msgspec
from msgspec import Meta

from detectors.base import OK, OPERATOR_ROLES, AlertText, Score, Span, TextDetector, Turn, label_of
from detectors.errors import NotLoadedError
from detectors.normalise.encodings import caesar_shift, ciphers, decodings, reversed_words, spelled
from detectors.normalise.unicode import normalise
from detectors.text.claims import claims
from detectors.text.subjects import is_year, numbers_of, stem, subject_of
from detectors.text.system_prompt import (
    Kind,
    Rule,
    SystemPrompt,
    alternatives,
    read_system_prompt,
    tokens,
    words,
)

__all__ = ["LeakConfig", "LeakDetector"]

PROMPT_CHARACTERS = 8_000
_SECRET, _INSTRUCTIONS = "secret", "instructions"
#: Words of a run that is compared, and words of a run of each kind that are a leak.
GRAM = 4
_LEAST = {Kind.CONFIDENTIAL: 5, Kind.INSTRUCTION: 7, Kind.PERSONA: 8}
_SECOND_PERSON = frozenset({"you", "you're", "your"})
_SQUASHED = re.compile(r"[\W_]+")


class LeakConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the leak detector.

    Attributes
    ----------
    threshold
        Answers with this score or a higher one are flagged.
    max_characters
        Maximum number of characters that are read from an answer; unread characters lower ``covered``.
    """

    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.5
    max_characters: Annotated[int, Meta(ge=1_000, le=200_000)] = 32_768


class _Evidence(NamedTuple):
    """What was found: its label, its strength (1 or more is a leak) and its position, if that is known."""

    label: str
    strength: float
    start: int = 0
    end: int = 0


class _Prior(NamedTuple):
    """What the user and tools said: words, runs of words, all letters and digits, stems and names, numbers.

    `asks` is whether the user asks for the prompt or a secret, `asks_own` whether for what the assistant was told.
    """

    words: frozenset[str]
    grams: frozenset[tuple[str, ...]]
    squashed: str
    stems: frozenset[str]
    numbers: frozenset[str]
    asks: bool
    asks_own: bool


class LeakDetector(TextDetector[LeakConfig]):
    """Detector of told instructions and secrets; no model, time linear in the lengths.

    Spans mark what was found: ``SECRET`` or ``INSTRUCTIONS``.
    """

    name: ClassVar[str] = "leak"
    version: ClassVar[str] = "1"
    config_type: ClassVar[type[msgspec.Struct]] = LeakConfig
    sides: ClassVar[tuple[str, ...]] = ("output",)
    reads_instructions: ClassVar[bool] = True
    alert: ClassVar[AlertText] = AlertText(
        subject="leaks of the system prompt",
        runbook="Open a request with `weir show ID --text`; replace a secret that was told, and keep secrets out of the system prompt.",
    )

    def __init__(self, config: LeakConfig | None = None) -> None:
        super().__init__(config)
        self._loaded = False

    @property
    def prompt_characters(self) -> int:
        """See `TextDetector.prompt_characters`."""
        return PROMPT_CHARACTERS

    def load(self) -> None:
        """Compile the patterns; see `TextDetector.load`."""
        read_system_prompt("The password is x.")
        _cues()
        self._loaded = True

    def score_many(self, texts: Sequence[str]) -> list[Score]:
        """Return ``unknown`` for each text, because there is no system prompt to compare the text with."""
        return self.score_answers(texts, [()] * len(texts))

    def score_answers(self, texts: Sequence[str], prompts: Sequence[Sequence[Turn]]) -> list[Score]:
        """Score each answer against the system prompt among its messages; see `TextDetector.score_answers`."""
        if not self._loaded:
            raise NotLoadedError("leak.score_answers before load(): call load() once in the process that scores")
        return [self._score(text, turns) for text, turns in zip(texts, prompts, strict=True)]

    def _score(self, text: str, turns: Sequence[Turn]) -> Score:
        if not text.strip():
            return Score(score=0.0, label=OK, flagged=False)
        operator = "\n\n".join(turn.content for turn in turns if turn.role in OPERATOR_ROLES)
        if not operator.strip():
            return Score(score=0.0, label="unknown", flagged=False)
        read = text[: self.config.max_characters]
        prior = _prior("\n".join(t.content for t in turns if t.role not in OPERATOR_ROLES and t.role != "assistant"))
        found = list(_evidence(read, _system_prompt(operator), prior))
        covered = len(read) / len(text)
        worst = max(found, key=lambda one: one.strength, default=_Evidence(OK, 0.0))
        score = min(1.0, worst.strength / 2)
        flagged = score >= self.config.threshold
        spans = tuple(
            Span(start=one.start, end=one.end, type=one.label.upper(), score=min(1.0, one.strength / 2))
            for one in found
            if one.end and one.strength / 2 >= self.config.threshold
        )
        label = label_of(worst.label, flagged=flagged, covered=covered)
        return Score(score=score, label=label, flagged=flagged, covered=covered, spans=spans)


@lru_cache(maxsize=64)  # an application sends the same system prompt with each request
def _system_prompt(text: str) -> SystemPrompt:
    return read_system_prompt(text)


def _squashed(text: str) -> str:
    return _SQUASHED.sub("", text.lower())


def _prior(text: str) -> _Prior:
    listed = tokens(text)
    return _Prior(
        words=frozenset(listed),
        grams=frozenset(zip(*(listed[n:] for n in range(GRAM)), strict=False)),
        squashed=_squashed(text),
        stems=frozenset(map(stem, listed)),
        numbers=numbers_of(text),
        asks=_cues().requests.search(text) is not None,
        asks_own=_cues().own_requests.search(text) is not None,
    )


def _evidence(text: str, prompt: SystemPrompt, prior: _Prior) -> Iterator[_Evidence]:
    copy = normalise(text)
    raw = copy.text if copy else text
    secrets = [value for value in prompt.secrets if not _is_known(value, prior)]
    index = _index(prompt)
    yield from _told_secrets(raw, secrets)
    yield from _runs(raw, prompt, index, prior, hidden=False)
    yield from _retold(raw, prompt, prior)
    distinct = prompt.words - prior.words
    for part in decodings(raw):
        squashed = _squashed(part.text)
        if any(_squashed(value) in squashed or _squashed(value)[::-1] in squashed for value in secrets):
            yield _Evidence(_SECRET, 1.9, part.start, part.end)
        elif not distinct.isdisjoint(tokens(part.text)) or any(word in squashed for word in distinct if len(word) > 5):
            yield _Evidence(_INSTRUCTIONS, 1.6, part.start, part.end)
    for view in (raw[::-1], reversed_words(raw), caesar_shift(raw)):
        if view is not None:
            for one in _runs(view, prompt, index, prior, hidden=True):
                yield _Evidence(one.label, one.strength, 0, len(text))
    yield from _disguised_words(raw, distinct)
    long = {word for word in distinct if len(word) > 5}
    if any(not long.isdisjoint(tokens(cipher)) for cipher in ciphers(raw[:400].lower())):
        yield _Evidence(_INSTRUCTIONS, 1.4, 0, len(text))


# Secrets


def _is_known(value: str, prior: _Prior) -> bool:
    bare = _squashed(value)
    return len(bare) < 2 or (bare in prior.squashed if len(bare) > 3 else set(tokens(value)) <= prior.words)


def _told_secrets(raw: str, secrets: Sequence[str]) -> Iterator[_Evidence]:
    lowered = raw.lower()
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
            yield _Evidence(_SECRET, 1.9, *place)
        elif (len(bare) > 3 and (bare in letters or back in letters)) or (len(bare) > 4 and bare in initials):
            yield _Evidence(_SECRET, 1.8, 0, len(raw))


def _disguised_words(raw: str, distinct: frozenset[str]) -> Iterator[_Evidence]:
    """Yield the evidence of a word of the prompt that is spelled or reversed."""
    for match in re.finditer(r"[^\W\d_]{6,40}", raw):
        word = match.group().lower()
        if word[::-1] in distinct and word not in distinct and word != word[::-1]:
            yield _Evidence(_INSTRUCTIONS, 1.4, *match.span())
    for run in spelled(raw, least=3).split():
        if len(run) > 3 and (run in distinct or any(word in run for word in distinct if len(word) > 4)):
            yield _Evidence(_INSTRUCTIONS, 1.4, 0, len(raw))


def _whole(value: str, lowered: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of a value that is not a part of a longer word or number."""
    position = lowered.find(value)
    while position >= 0:
        end = position + len(value)
        before, after = lowered[position - 1 : position], lowered[end : end + 1]
        number = value[-1:].isdigit() and after in {".", ","} and lowered[end + 1 : end + 2].isdigit()
        if not (before.isalnum() and value[0].isalnum()) and not (after.isalnum() and value[-1].isalnum()) and not number:
            yield position, end
        position = lowered.find(value, end)


@lru_cache(maxsize=4096)
def _spread(bare: str) -> re.Pattern[str]:
    """Return a pattern of the letters of a secret with signs between them, or with digits in place of letters."""
    alike = {"o": "[o0]", "i": "[i1!l|]", "l": "[l1|]", "e": "[e3]", "a": "[a4@]", "s": "[s5$]", "t": "[t7]"}
    return re.compile(r"(?<![^\W_])" + r"[\W_]{0,4}".join(alike.get(c, re.escape(c)) for c in bare[:64]) + r"(?![^\W_])")


# Runs of words


def _index(prompt: SystemPrompt) -> dict[tuple[str, ...], list[tuple[int, int]]]:
    """Return the places of each run of `GRAM` words: (row of the sentence, first word)."""
    index: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    for row, rule in enumerate(prompt.rules):
        for at in range(len(rule.tokens) - GRAM + 1):
            gram = rule.tokens[at : at + GRAM]
            if "" not in gram and len(index[gram]) < 4:
                index[gram].append((row, at))
    return index


def _runs(
    text: str, prompt: SystemPrompt, index: dict[tuple[str, ...], list[tuple[int, int]]], prior: _Prior, *, hidden: bool
) -> Iterator[_Evidence]:
    """Yield the evidence of words of the prompt in the answer: the longest run, and all runs together."""
    spots = [(match.group().lower().replace("’", "'"), *match.span()) for match in re.finditer(r"[^\W_]+(?:['’][^\W_]+)?", text)]  # noqa: RUF001
    said = [word for word, _, _ in spots]
    total, first, last = 0.0, -1, -1
    at = 0
    while at <= len(said) - GRAM:
        gram = tuple(said[at : at + GRAM])
        places = index.get(gram, ())
        if not places or gram in prior.grams:
            at += 1
            continue
        length, row = max((_length(said, at, prompt.rules[row].tokens, begin), row) for row, begin in places)
        rule = prompt.rules[row]
        run = said[at : at + length]
        told = length / _needed(rule, run, prior, hidden=hidden)
        if told:
            total += told * 0.6
            first, last = (first if first >= 0 else at), at + length - 1
            strength = max(told, total)
            yield _Evidence(_INSTRUCTIONS, min(2.0, strength), spots[at][1], spots[last][2])
        at += length
    return


def _needed(rule: Rule, run: Sequence[str], prior: _Prior, *, hidden: bool) -> float:
    """Return the number of consecutive words of a sentence that are a leak."""
    if rule.kind is Kind.FACT:
        return math.inf
    if rule.kind is Kind.CONFIDENTIAL and rule.is_order and not prior.asks:
        return max(_LEAST[rule.kind], len(rule.tokens) / 2)
    if hidden:
        return GRAM
    if prior.asks and (rule.kind is Kind.INSTRUCTION or len(run) == len(rule.tokens)):
        return 6
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


#: The weight of what an answer shares with a sentence of the prompt; 1 is a leak.
_STEM, _NAME, _SHORT, _MEDIUM, _LONG = 0.25, 0.5, 0.3, 0.45, 0.8
#: What a statement of the assistant about its instructions multiplies and adds.
_CUED, _CUE = 2.5, 0.4
#: What a request for the prompt multiplies.
_ASKED = 1.5


#: How a translated system prompt begins.
_ADDRESSED = re.compile(r"(?:^|[.:!\n«\"„“]\s*)(?:you are (?:a|an|the)|du bist|sie sind|tu es|vous êtes|eres|usted es|(?:tu )?sei (?:un|il|la|lo|l)|você é|tu és|je bent|jij bent|u bent|jesteś)\b", re.IGNORECASE)


def _weight(number: str) -> float:
    return _SHORT if len(number) < 3 or is_year(number) else _MEDIUM if len(number) == 3 else _LONG


def _retold(raw: str, prompt: SystemPrompt, prior: _Prior) -> Iterator[_Evidence]:
    """Yield the evidence of an answer that says an instruction or a confidential sentence in other words."""
    cues = _cues()
    answer, _ = claims(raw, 200)
    said = [subject_of(claim) for claim in answer]
    refused = [cues.refuses.search(claim.text) is not None for claim in answer]
    cued = any(cues.states.search(claim.text) for claim, refusal in zip(answer, refused, strict=True) if not refusal)
    addressed = _ADDRESSED.search(raw) is not None
    cued = cued or addressed or (prior.asks_own and not any(refused))
    stems = {one for subject, refusal in zip(said, refused, strict=True) if not refusal for one in subject.stems | subject.names} - prior.stems
    numbers = {one for subject in said for one in subject.numbers} - prior.numbers
    total = 0.0
    for rule in prompt.rules:
        if rule.kind is Kind.FACT or (rule.kind is not Kind.CONFIDENTIAL and not cued and not prior.asks):
            continue
        if rule.kind is Kind.PERSONA and not addressed:
            continue
        about = rule.subject
        found = _STEM * len(about.stems & stems) + _NAME * len(about.names & stems)
        found += sum(map(_weight, about.numbers & numbers))
        possible = _STEM * len(about.stems) + _NAME * len(about.names) + _SHORT * len(about.numbers)
        strength = found / max(0.75, 0.5 * possible if rule.is_order else min(0.85, 0.7 * possible))
        if cued and found:
            strength = _CUED * found + (_CUE if rule.kind is Kind.CONFIDENTIAL else 0.0)
        elif rule.kind is not Kind.CONFIDENTIAL:
            strength = _ASKED * found
        total = max(total, strength) + 0.3 * min(total, strength)
    if total:
        yield _Evidence(_INSTRUCTIONS, min(2.0, total), 0, len(raw))
