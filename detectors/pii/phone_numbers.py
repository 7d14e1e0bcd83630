"""Phone numbers: which runs of digits are one, by their own form or by the words around them.

Without a word such as "phone" beside it, a number needs the form of a valid national or international number. Digits without
separators count only right beside such a word. A piece of a longer number, a date, a decimal or an identifier never counts.
"""

import re
from collections.abc import Iterable
from itertools import islice

import msgspec

from detectors.base import Span
from detectors.pii.rules import RULES

__all__ = ["PHONE", "phone_spans"]

_RULES = RULES.phone

#: Characters before and after a number that are read.
BEFORE, AFTER = 60, 20
INTERNATIONAL, NATIONAL = 0.75, 0.65
#: An international number that phonenumbers rejects, and digits that only the words around them make a number.
UNASSIGNED, DIGITS = 0.45, 0.3
CONTEXT_GAIN = 0.35
REPORTED_FROM = 0.4
#: Digits: fewest, fewest without separators, most.
FEWEST, FEWEST_BARE, MOST = 6, 7, 15

_EXTENSION = r"(?: ?(?:x|ext\.?) ?\d{1,5})?"
#: Candidates, for RE2. North American numbers come first, so that two in a row are not read as one.
PHONE = (
    rf"(?:\+?1[ .\-]?)?(?:\([2-9]\d\d\) ?|\b[2-9]\d\d[ .\-])[2-9]\d\d[ .\-]\d{{4}}{_EXTENSION}\b"
    rf"|(?:\+|\b|\()\d(?:(?:\)[\-/. ]?| ?\(|[/\-] ?| [/\-]|[ .])?\d){{5,16}}{_EXTENSION}\b"
)

_DAY, _MONTH, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:1[5-9]|20)\d\d"
#: A date in it, two years, an address of the net, a social security number.
_OTHER_FORM = re.compile(
    rf"\b(?:{_DAY}([ ./\-]){_MONTH}\1|{_MONTH}([ ./\-]){_DAY}\2){_YEAR}\b"
    rf"|^(?:{_DAY}([./\-]){_MONTH}\3|{_MONTH}([./\-]){_DAY}\4)\d\d(?:$| )"
    rf"|\b{_YEAR}([./\-]?){_MONTH}\5{_DAY}\b"
    rf"|^{_YEAR} ?[\-/] ?(?:{_YEAR}|\d\d)$"
    r"|^\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?$"
    r"|^\d{3}-\d{2}-\d{4}$"
)
_NOT_DIGIT = re.compile(r"\D+")
_EXTENDED = re.compile(_EXTENSION + "$")
_THOUSANDS = re.compile(r"\d{1,3}(?:\.\d{3})+$")
_GLUED_BEFORE = re.compile(r"(?:[\w@#%$€£¥<\\\-\u2013]|\d[.:/'\u2019])$")
#: A word of letters and digits before groups set apart by spaces: they are its other groups ("GB82 1234 5678").
_CODE_BEFORE = re.compile(r"(?<!\w)[^\W\d_]+\d+ $")
_GLUED_AFTER = re.compile(rf"\w|[%°€£¥$@]|[.:/'\u2019]\d|[\-\u2013]\w| ?=| ?(?:{'|'.join(_RULES.units)})\b")


def _any(words: Iterable[str]) -> str:
    """Return an expression for one of the words; an underscore or a digit may touch it, a letter may not."""
    return rf"(?<![^\W\d_])(?:{'|'.join(words)})(?![^\W\d_])"


_LABEL = rf"(?:{_any(_RULES.labels)}|{'|'.join(_RULES.labels_unspaced)})"
_LABEL_BEFORE = re.compile(rf"{_LABEL}(?:[^\w$€£<]|_|{_any(_RULES.fillers)}|{'|'.join(_RULES.fillers_unspaced)})*$")
_LABEL_AFTER = re.compile(rf"[ ,;\-(]{{0,3}}(?:{_LABEL}|office\b)")
_NOT_LABEL_BEFORE = re.compile(
    rf"{_any(_RULES.not_labels)}(?:[\W_]|{_any(('no', 'nr', 'num', 'number', 'id', 'is'))})*$"
)
_NEAR = re.compile(rf"{_LABEL}|{_any(_RULES.words)}")


class _Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Digits that may be a phone number; ``near``: a word such as "call" is on the same line."""

    start: int
    end: int
    found: str
    near: bool


def phone_spans(text: str, lower: str, ranges: Iterable[tuple[int, int]], judged: int) -> tuple[list[Span], int | None]:
    """Return the phone numbers among ranges of a text, and where the candidate after the first ``judged`` begins."""
    candidates = (one for start, end in ranges if (one := _candidate(text, lower, start, end)) is not None)
    spans = [span for one in islice(candidates, judged) if (span := _span(one)) is not None]
    rest = next(candidates, None)
    return spans, None if rest is None else rest.start


def _candidate(text: str, lower: str, start: int, end: int) -> _Candidate | None:
    """Return what may be a phone number by its form and its neighbours."""
    start, end = _without_odd_bracket(text, start, end)
    found = text[start:end]
    digits = _digits(found)
    fewest = FEWEST_BARE if found.isdigit() else FEWEST
    if not fewest <= len(digits) <= MOST or len(set(digits)) == 1 or _OTHER_FORM.search(found):
        return None
    before, after = lower[max(0, start - BEFORE) : start], lower[end : end + AFTER].partition("\n")[0]
    labelled = _LABEL_BEFORE.search(before) is not None or _LABEL_AFTER.match(after) is not None
    if not labelled and (found.isdigit() or _is_amount(found) or _is_piece(found, before, after)):
        return None
    line = before.rpartition("\n")[2]
    near = labelled or _NEAR.search(f"{line} {after}") is not None
    return _Candidate(start=start, end=end, found=found, near=near)


def _without_odd_bracket(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the longer side of a bracket without a partner: "2) 415-555-2671", "(call 415-555-2671) 3 times"."""
    found = text[start:end]
    if ("(" in found) == (")" in found):
        return start, end
    at = max(found.find("("), found.find(")"))
    left, right = found[:at].rstrip(" -/."), found[at + 1 :].lstrip(" -/.")
    return (start, start + len(left)) if len(left) > len(right) else (end - len(right), end)


def _digits(found: str) -> str:
    return _NOT_DIGIT.sub("", _EXTENDED.sub("", found))


def _is_amount(found: str) -> bool:
    """Return whether points in a candidate are those of decimals or thousands."""
    marks = _NOT_DIGIT.findall(_EXTENDED.sub("", found).lstrip("+"))
    if "." not in marks or "(" in found:
        return False
    return marks.count(".") < 2 or set(marks[1:]) != {"."} or _THOUSANDS.match(found) is not None


def _is_piece(found: str, before: str, after: str) -> bool:
    """Return whether a candidate is a part of something longer: a word, an identifier, a row of numbers, an amount."""
    if _GLUED_BEFORE.search(before) or _GLUED_AFTER.match(after):
        return True
    if _NOT_LABEL_BEFORE.search(before.rpartition("\n")[2]) or (" " in found and _CODE_BEFORE.search(before)):
        return True
    mark = " " if " " in found else "," if "-" not in found and "(" not in found else ""
    follows = after[:1] == mark and after[1:2].isdigit()
    return bool(mark) and (follows or (before[-1:] == mark and before[-2:-1].isdigit()))


def _span(one: _Candidate) -> Span | None:
    """Return a candidate that is sure enough to be reported."""
    if one.found.startswith("+"):
        score = INTERNATIONAL if _is_valid(one.found, None) else UNASSIGNED
    elif _is_national(one.found):
        score = NATIONAL
    else:
        score = DIGITS
    if one.near:
        score = min(1.0, score + CONTEXT_GAIN)
    if score < REPORTED_FROM:
        return None
    return Span(start=one.start, end=one.end, type="PHONE_NUMBER", score=score)


def _is_national(found: str) -> bool:
    """Return whether a number is written as it is dialled or printed in one of the regions."""
    number = _EXTENDED.sub("", found)
    groups = tuple(map(len, filter(None, _NOT_DIGIT.split(number))))
    if _digits(number)[0] == "0":
        if len(groups) < 2 or min(groups) < 2 or len(set(_NOT_DIGIT.findall(number.strip("("))[1:])) > 1:
            return False
        return any(_is_valid(found, region) for region in _RULES.trunk_regions)
    if "(" in found[:3]:
        return any(_is_valid(found, region) for region in _RULES.bracket_regions)
    return any(groups in layouts and _is_valid(found, region) for region, layouts in _RULES.groups.items())


def _is_valid(found: str, region: str | None) -> bool:
    import phonenumbers  # noqa: PLC0415 - used with Presidio, whose import takes seconds

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(found, region))
    except phonenumbers.NumberParseException:
        return False
