"""Recognition of phone numbers by their form and by the words around them.

If no word such as "phone" is near a number, the number must have the form of a valid national or international number.
Digits without separators count only directly beside such a word. A part of a longer number, of a date, of a decimal or
of an identifier never counts.
"""

import re
from collections.abc import Iterable
from itertools import islice

import msgspec

from detectors.base import Span
from detectors.pii.rules import AFTER, BEFORE, CONTEXT_GAIN, REPORTED_FROM, RULES

_RULES = RULES.phone

INTERNATIONAL, NATIONAL = 0.75, 0.65
#: Scores of an international number that phonenumbers rejects, and of digits without the form of a phone number.
UNASSIGNED, DIGITS = 0.45, 0.3
#: Minimum number of digits of a phone number, the same without separators, and maximum number of digits.
FEWEST, FEWEST_BARE, MOST = 6, 7, 15
#: Maximum number of candidates that are checked: a check is slow, and a hostile text has many candidates.
JUDGED = 120

_EXTENSION = r"(?: ?(?:x|ext\.?) ?\d{1,5})?"
#: Expression for candidates, for RE2. North American numbers are first, so that two in a row are not one match.
PHONE = (
    rf"(?:\+?1[ .\-]?)?(?:\([2-9]\d\d\) ?|\b[2-9]\d\d[ .\-])[2-9]\d\d[ .\-]\d{{4}}{_EXTENSION}\b"
    rf"|(?:\+|\b|\()\d(?:(?:\)[\-/. ]?| ?\(|[/\-] ?| [/\-]|[ .])?\d){{5,16}}{_EXTENSION}\b"
)

_DAY, _MONTH, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:1[5-9]|20)\d\d"
#: Expression for numbers of another kind: dates, two years, IP addresses, social security numbers.
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
_GLUED_BEFORE = re.compile(r"(?:[\w@#%$€£¥<\\\-\u2013]|\d[.:/'\u2019])\Z")
#: A word of letters and digits before groups of digits, as in an IBAN ("GB82 1234 5678"): the groups belong to it.
_CODE_BEFORE = re.compile(r"(?<!\w)[^\W\d_]+\d+ \Z")
#: A US postal code (ZIP+4) that begins with 0 after its state: its form is that of a number with a trunk prefix.
_POSTAL_CODE = re.compile(r"\b(?:AE|CT|MA|ME|NH|NJ|PR|RI|VI|VT)[\s,*#/]{1,12}\d{5}-\d{4}\Z")
_GLUED_AFTER = re.compile(
    rf"\w| [0-9a-f]{{2}}\b|[%°€£¥$@]|[.:/'\u2019]\d|[\-\u2013]\w| ?=| ?(?:{'|'.join(_RULES.units)})\b"
)


def _any(words: Iterable[str]) -> str:
    """Return a regular expression for any of the words; the word may touch a digit or underscore, but no letter."""
    return rf"(?<![^\W\d_])(?:{'|'.join(words)})(?![^\W\d_])"


_LABEL = rf"(?:{_any(_RULES.labels)}|{'|'.join(_RULES.labels_unspaced)})"
_LABEL_BEFORE = re.compile(rf"{_LABEL}(?:[^\w$€£<]|_|{_any(_RULES.fillers)}|{'|'.join(_RULES.fillers_unspaced)})*$")
_LABEL_AFTER = re.compile(rf"[ ,;\-(]{{0,3}}(?:{_LABEL}|office\b)")
_UP_TO_NUMBER = rf"(?:[\W_]|{_any(('no', 'nr', 'num', 'number', 'id', 'is'))})*$"
_NOT_LABEL_BEFORE = re.compile(_any((*RULES.other_labels, *_RULES.not_labels)) + _UP_TO_NUMBER)
_OTHER_LABEL_BEFORE = re.compile(_any(RULES.other_labels) + _UP_TO_NUMBER)
_NEAR = re.compile(rf"{_LABEL}|{_any(_RULES.words)}")


class _Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Digits that may be a phone number; ``near`` is whether a word such as "call" is on the same line."""

    start: int
    end: int
    found: str
    near: bool


def is_other_number(lower: str, start: int) -> bool:
    """Return whether words right before a number, such as "order no.", say that the number is not personal."""
    return _OTHER_LABEL_BEFORE.search(lower[max(0, start - BEFORE) : start].rpartition("\n")[2]) is not None


def phone_spans(text: str, lower: str, ranges: Iterable[tuple[int, int]]) -> tuple[list[Span], int | None]:
    """Check at most `JUDGED` candidates; return the phone numbers, and the start of the next candidate or None."""
    candidates = (one for start, end in ranges if (one := _candidate(text, lower, start, end)) is not None)
    spans = [span for one in islice(candidates, JUDGED) if (span := _span(one)) is not None]
    rest = next(candidates, None)
    return spans, None if rest is None else rest.start


def _candidate(text: str, lower: str, start: int, end: int) -> _Candidate | None:
    """Return a candidate, or None if the number of digits, the form or the surrounding characters exclude it."""
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
    if not labelled and _POSTAL_CODE.search(text, max(0, start - BEFORE), end):
        return None
    line = before.rpartition("\n")[2]
    near = labelled or (not _is_row(found) and _NEAR.search(f"{line} {after}") is not None)
    return _Candidate(start=start, end=end, found=found, near=near)


def _without_odd_bracket(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the longer part before or after an unpaired bracket, as in "2) 415-555-2671" or "(415-555-2671) 3"."""
    found = text[start:end]
    if ("(" in found) == (")" in found):
        return start, end
    at = max(found.find("("), found.find(")"))
    left, right = found[:at].rstrip(" -/."), found[at + 1 :].lstrip(" -/.")
    return (start, start + len(left)) if len(left) > len(right) else (end - len(right), end)


def _digits(found: str) -> str:
    return _NOT_DIGIT.sub("", _EXTENDED.sub("", found))


def _is_amount(found: str) -> bool:
    """Return whether the points of a candidate separate decimals or thousands."""
    marks = _NOT_DIGIT.findall(_EXTENDED.sub("", found).lstrip("+"))
    if "." not in marks or "(" in found:
        return False
    return marks.count(".") < 2 or set(marks[1:]) != {"."} or _THOUSANDS.match(found) is not None


def _is_row(found: str) -> bool:
    """Return whether a candidate is a row of numbers of one or two digits: phone numbers have a longer group, or are three or four pairs."""
    groups = [len(group) for group in _NOT_DIGIT.split(_EXTENDED.sub("", found)) if group]
    return max(groups) < 3 and groups not in ([2, 2, 2], [2, 2, 2, 2])


def _is_piece(found: str, before: str, after: str) -> bool:
    """Return whether a candidate is a part of a word, an identifier, a list of numbers or an amount."""
    if _GLUED_BEFORE.search(before) or _GLUED_AFTER.match(after):
        return True
    if _NOT_LABEL_BEFORE.search(before.rpartition("\n")[2]) or (" " in found and _CODE_BEFORE.search(before)):
        return True
    mark = " " if " " in found else "," if "-" not in found and "(" not in found else ""
    follows = after[:1] == mark and after[1:2].isdigit()
    return bool(mark) and (follows or (before[-1:] == mark and before[-2:-1].isdigit()))


def _span(one: _Candidate) -> Span | None:
    """Return the span of a candidate, or None if its score is too low to report."""
    if one.found.startswith("+"):
        score = INTERNATIONAL if _is_valid(one.found, None) else UNASSIGNED
    elif one.found.startswith("00") and _is_valid(f"+{one.found[2:]}", None):
        score = INTERNATIONAL
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
    """Return whether a number has a valid national form in one of the configured regions."""
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
