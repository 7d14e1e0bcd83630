"""Presidio's pattern recognisers (patterns, checksums, context words) on the RE2 engine, in time linear in the text.

Python's backtracking engine needs 23 s for 64 KB of ``www.`` (docs/design/traps.md). If a timeout stopped the search,
such texts would evade detection. RE2 finds the candidates, and Presidio's own validators check the candidates. Only a
bounded number of candidates is checked; a text with more candidates is reported as partly covered.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from typing import Any

import msgspec
import numpy as np
import re2

from detectors.base import Span
from detectors.pii.addresses import STREET
from detectors.pii.ip_addresses import PUBLIC, ip_score
from detectors.pii.phone_numbers import PHONE, is_other_number, phone_spans
from detectors.pii.rules import AFTER, BEFORE, CONTEXT_GAIN, REPORTED_FROM, RULES

#: Score of groups of digits that are an official number only if a word near them names it.
ROW = 0.3
#: Lowest score of a number of the right form near a word of its context ("my passport number is ...").
IN_CONTEXT = 0.65
#: A word of letters; letters inside a hexadecimal number are none.
_WORD = re.compile(r"(?<![^\W_])[^\W\d_]+(?![^\W_])")
_WHITE_SPACE = re.compile(r"\s+")
_DIGIT = re.compile(r"\d")
#: Next to these expressions, a number of at least 7 digits is a part of a decimal number, or of groups of four digits.
LONG = 7
_DECIMAL_BEFORE, _DECIMAL_AFTER = re.compile(r"\d\.\Z"), re.compile(r"\.\d")
_GROUP_BEFORE, _GROUP_AFTER = re.compile(r"(?:^|\s)\d{4} \Z"), re.compile(r" \d{4}(?![\d/])")
#: Cards are printed without separators, in fours, or (15 digits) as 4-6-5.
_CARD = re.compile(r"\d+|\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{5}")
_LONG_NUMBER = re.compile(r"(?<![\d.\-])\d{15,16}(?!\d|[.\-]\d)")
_SEPARATOR = re.compile("[ -]")
#: Characters of the shortest IBAN (Norway).
SHORTEST_IBAN = 15
#: Score of a card number in a text in which most numbers of this length are not cards.
AMONG_OTHERS = 0.5
#: Digits are not counted in texts with more characters.
MOST_DIGITS = 20_000
#: The at sign, also as URLs, HTML and JSON write it: every e-mail address contains one.
_AT = re.compile(r"@|%40|&#(?:64|[xX]40);|\\u0040")
_OTHER_DIGIT = re.compile(r"[^\D0-9]")
#: The beginning of the address of a repository, such as "git@example.org:group/name.git".
_REPOSITORY = re.compile(r"(?:^|[=/])git@")
#: Maximum number of candidates of one pattern that are validated: validators are slow, and a hostile text has many candidates.
JUDGED = 400
#: Score of a street with a house number.
STREET_SCORE = 0.6
#: No maximum length: with one of 900 characters, RE2 needs 2.5 s for 60 KB of addresses without a space.
URL = r"(?:https?://|\bwww\.)[^\s<>\"'`]{3,}"


def _readable(text: str) -> str:
    """Return a copy of the same length that the expressions can read: without the escapes of JSON, and with ASCII digits.

    The "n" of an escaped line break is no part of the next word. Digits are those of all scripts.
    """
    if "\\" in text:
        text = text.replace("\\n", " \n").replace("\\r", " \r").replace("\\t", " \t")
    return text if text.isascii() else _OTHER_DIGIT.sub(lambda digit: str(int(digit[0])), text)


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """The spans of one text, and the offset at which the search ended."""

    spans: list[Span]
    reached: int


class _Rule(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    pattern: Any
    score: float
    recognizer: Any
    context: tuple[str, ...]


class _Text:
    """A text in UTF-8, as RE2 requires, with a map from byte offsets to character offsets."""

    def __init__(self, text: str) -> None:
        self.text = text
        # Only the lower case of the Turkish capital "\u0130" has another length, which would move the offsets.
        self.lower = text.replace("\u0130", "i").lower()
        self.data = text.encode("utf-8", "replace")
        bytes_ = np.frombuffer(self.data, dtype=np.uint8)
        self._offsets = None if text.isascii() else np.append(np.cumsum((bytes_ & 0xC0) != 0x80) - 1, len(text))

    def characters(self, start: int, end: int) -> tuple[int, int]:
        if self._offsets is None:
            return start, end
        return int(self._offsets[start]), int(self._offsets[end])

    def near(self, start: int, end: int, words: Sequence[str]) -> bool:
        """Return whether a word or phrase occurs in the `BEFORE` characters before a range, or just after the range.

        A phrase, which has a space, is any part of this text. In it, white space is one space, also at its beginning.
        """
        before = self.lower[max(0, start - BEFORE) : start]
        around = _WHITE_SPACE.sub(" ", f" {before} {self.lower[end : end + AFTER]}")
        alone = set(_WORD.findall(around))
        return any(word in alone or (" " in word and word in around) for word in words)

    @cached_property
    def card_majorities(self) -> set[int]:
        """The lengths of which at least half of the numbers of the text pass the checksum of cards."""
        counts: Counter[int] = Counter()
        for match in _LONG_NUMBER.finditer(self.text):
            counts[len(match[0])] += 1 if _luhn(match[0]) else -1
        return {length for length in (15, 16) if counts[length] >= 0}


@contextmanager
def without_model_libraries() -> Iterator[None]:
    """Make imports of torch and transformers fail, so that presidio_analyzer is imported without them.

    Only unused recognisers need transformers, and only unused models of spaCy need torch. Importing both takes up to 20 s
    and several hundred megabytes per process. A library that is imported already stays available.
    """
    absent = [name for name in ("torch", "transformers") if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment] # makes the import fail
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def _luhn(digits: str) -> bool:
    """Return whether the last digit is the checksum of the others (ISO/IEC 7812)."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _pesel(digits: str) -> bool:
    """Return whether the last digit is the checksum of a PESEL. Presidio compares the digit with 10 minus the checksum."""
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
    return sum(weight * int(digit) for weight, digit in zip(weights, digits, strict=True)) % 10 == 0


def _compile(pattern: str, *, group: bool = False) -> Any:
    options = re2.Options()
    options.case_sensitive = group
    options.never_capture = not group
    options.log_errors = False
    return re2.compile(pattern.encode(), options)


class PatternScanner:
    """A scanner that finds personal data by all pattern rules; it needs no model, and ``scan`` is pure."""

    def __init__(self) -> None:
        with without_model_libraries():
            from presidio_analyzer import predefined_recognizers as presidio  # noqa: PLC0415 - seconds to import
        import tldextract  # noqa: PLC0415 - used with Presidio

        # By default it downloads the public-suffix list at first use (docs/design/traps.md).
        self._domains = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
        self._rules = [rule for name in RULES.recognizers for rule in _rules(getattr(presidio, name)())]
        self._own = [(kind, _compile(expression, group=True), score) for kind, expression, score in RULES.own]
        self._phone, self._url, self._address = _compile(PHONE), _compile(URL), _compile(STREET, group=True)

    def scan(self, text: str) -> Scan:
        """Return the spans of all types in a text."""
        text = _readable(text)
        view = _Text(text)
        spans: list[Span] = []
        reached = len(text)
        digits = len(_DIGIT.findall(text, 0, MOST_DIGITS)) if len(text) <= MOST_DIGITS else 99
        for rule in self._rules:
            if digits < RULES.fewest_digits.get(rule.kind, 0) or (
                rule.kind == "EMAIL_ADDRESS" and not _AT.search(text)
            ):
                continue
            found = _ibans(rule, view) if rule.kind == "IBAN_CODE" else rule.pattern.finditer(view.data)
            matches = list(islice(found, JUDGED + 1))
            if len(matches) > JUDGED:
                reached = min(reached, view.characters(0, matches.pop().start())[1])
            spans += [span for match in matches if (span := self._judge(rule, view, match)) is not None]
        if digits >= RULES.fewest_digits["PHONE_NUMBER"]:
            ranges = (view.characters(*match.span()) for match in self._phone.finditer(view.data))
            phones, beyond = phone_spans(text, view.lower, ranges)
            spans += phones
            reached = reached if beyond is None else min(reached, beyond)
        if "www." in view.lower or "://" in text:
            spans += _plain(view, self._url, "URL", 0.6)
        if digits:
            spans += _addresses(view, self._address)
        for kind, pattern, score in self._own:
            if digits >= RULES.fewest_digits.get(kind, 0) or kind == "DATE_TIME":
                spans += _plain(view, pattern, kind, score, 1)
        return Scan(spans=spans, reached=reached)

    def _judge(self, rule: _Rule, view: _Text, match: Any) -> Span | None:
        start, end = view.characters(match.start(), match.end())
        if rule.kind == "IBAN_CODE":
            end = _iban_end(rule, view.text, start, end)
        near = view.near(start, end, rule.context)
        score = self._score(rule, view, start, end, near=near)
        if score <= 0.0:
            return None
        if rule.kind in RULES.needs_context and not near:
            return None
        if near and rule.kind not in RULES.indirect and (rule.kind != "IP_ADDRESS" or score >= PUBLIC):
            score = min(1.0, max(score + CONTEXT_GAIN, IN_CONTEXT))
        return Span(start=start, end=end, type=rule.kind, score=score) if score >= REPORTED_FROM else None

    def _score(self, rule: _Rule, view: _Text, start: int, end: int, *, near: bool) -> float:
        """Return the score of a candidate by its form and its neighbours; 0 if the candidate is invalid.

        ``near`` is whether a word of the rule's context is near the candidate.
        """
        found = view.text[start:end]
        if rule.kind == "EMAIL_ADDRESS":  # Presidio's own check would download the suffix list
            if _REPOSITORY.search(found) and view.text[end : end + 1] in {":", "/"}:
                return 0.0
            return 1.0 if self._domains(_AT.split(found)[-1]).suffix else 0.0
        if rule.kind == "IP_ADDRESS":
            return ip_score(view.text, view.lower, start, end)
        named = near and rule.kind not in RULES.needs_context
        # The letters and the checksum of an IBAN exclude numbers of another kind.
        if (
            rule.kind != "IBAN_CODE"
            and RULES.fewest_digits.get(rule.kind, 0) >= LONG
            and (_is_piece(view.text, start, end, named=named) or is_other_number(view.lower, start))
        ):
            return 0.0
        if (rule.kind == "CREDIT_CARD" and not _is_card(found, near=near)) or (
            rule.kind == "MAC_ADDRESS" and view.text.endswith(".", 0, start)  # a row of a collation table
        ):
            return 0.0
        score = _validated(rule, found) if rule.kind != "PL_PESEL" else float(_pesel(found))
        if rule.kind == "CREDIT_CARD" and not near and found.isdigit() and len(found) not in view.card_majorities:
            score = min(score, AMONG_OTHERS)
        # Groups of digits with spaces or points between them are more often unrelated numbers.
        return min(score, ROW) if rule.kind == "US_SSN" and "-" not in found else score


def _is_piece(text: str, start: int, end: int, *, named: bool) -> bool:
    """Return whether a number is a part of a decimal number, or of groups of four digits; if a word names it, groups do not matter."""
    before = text[max(0, start - 6) : start]
    if _DECIMAL_BEFORE.search(before) or _DECIMAL_AFTER.match(text, end):
        return True
    return not named and (_GROUP_BEFORE.search(before) or _GROUP_AFTER.match(text, end)) is not None


def _rules(recognizer: Any) -> Iterator[_Rule]:
    kind = recognizer.supported_entities[0]
    for pattern in recognizer.patterns:
        own = RULES.overrides.get(pattern.name)
        if pattern.name in RULES.without or (pattern.score < 0.05 and own is None):
            continue
        yield _Rule(
            kind=kind,
            pattern=_compile(own or pattern.regex),
            score=pattern.score,
            recognizer=recognizer,
            context=RULES.context.get(kind) or tuple(word.lower() for word in recognizer.context or ()),
        )


def _validated(rule: _Rule, found: str) -> float:
    """Return 1 if a candidate's checksum is correct, 0 if the checksum is wrong, else the score of the pattern."""
    if rule.kind == "IBAN_CODE":
        found = found.upper()
    try:
        valid = rule.recognizer.validate_result(found)
        invalid = rule.recognizer.invalidate_result(found)
    except (
        ValueError,
        IndexError,
        KeyError,
        TypeError,
    ):  # a validator expects the form of its own pattern
        return 0.0
    if valid is False or invalid:
        return 0.0
    return 1.0 if valid else rule.score


def _ibans(rule: _Rule, view: _Text) -> Iterator[Any]:
    """Yield the candidates; after an IBAN, the search continues at its end, because a candidate can contain the begin of the next IBAN."""
    position = 0
    while (match := rule.pattern.search(view.data, position)) is not None:
        yield match
        start, end = view.characters(*match.span())
        position = match.end() - (end - _iban_end(rule, view.text, start, end))  # a candidate is ASCII


def _iban_end(rule: _Rule, text: str, start: int, end: int) -> int:
    """Return the end of the valid IBAN in a candidate, or ``end``: the expression also matches short words after an IBAN."""
    ends = (end, *(match.start() for match in reversed(list(_SEPARATOR.finditer(text, start + SHORTEST_IBAN, end)))))
    return next((last for last in ends if _validated(rule, text[start:last]) > 0.0), end)


def _is_card(found: str, *, near: bool) -> bool:
    """Return whether a number has the length and layout of a card; near a word such as "card", more lengths and any layout count."""
    digits = "".join(filter(str.isdigit, found))
    if len(digits) in (RULES.card_lengths.get(digits[:2]) or RULES.card_lengths.get(digits[0], ())):
        return near or _CARD.fullmatch(found) is not None
    return near and len(digits) in RULES.card_lengths_in_context.get(digits[0], ())


def _plain(view: _Text, pattern: Any, kind: str, score: float, group: int = 0) -> list[Span]:
    ranges = (
        view.characters(match.start(group), match.end(group)) for match in islice(pattern.finditer(view.data), JUDGED)
    )
    return [Span(start=start, end=end, type=kind, score=score) for start, end in ranges]


def _addresses(view: _Text, pattern: Any) -> list[Span]:
    """Return street addresses with a number; their score is higher near words such as "my address"."""
    return [
        msgspec.structs.replace(span, score=span.score + CONTEXT_GAIN)
        if view.near(span.start, span.end, RULES.address_context)
        else span
        for span in _plain(view, pattern, "LOCATION", STREET_SCORE)
    ]
