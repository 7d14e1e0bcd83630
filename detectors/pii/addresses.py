"""Recognition of street addresses by their form, and of the evidence that an address belongs to a named person.

Prose is full of names beside numbers ("Campbell, 9 Pct", "12 people on the road"). So a name near an address flags a
text only if the address has a further sign: a unit or a postal code, words such as "lives at", or the name directly
before the address.
"""

import re
from collections.abc import Sequence

from detectors.base import Span
from detectors.pii.rules import RULES

_RULES = RULES.address
_NUMBER = r"\d{1,5}[A-Za-z]?(?:[-/]\d{1,4}[A-Za-z]?)?"
_NAME = r"\p{Lu}[\p{L}\p{M}.'\x{2019}\-]*"
_OF = "(?:(?:de la|de las|de los|de l['\u2019]|del|della|delle|dei|des|de|du|da|do|das|dos|d['\u2019]) ?)?"
#: Expression for streets with a house number, for RE2; case-sensitive.
STREET = "|".join(
    (
        rf"\b{_NUMBER},? (?:(?:{_NAME}|\d{{1,3}}(?:st|nd|rd|th)) ){{1,4}}(?:{'|'.join(_RULES.after_name)})\b",
        rf"\b{_NUMBER}(?: ?(?:bis|ter))?,? (?:{'|'.join(_RULES.after_number)}) {_OF}{_NAME}(?: {_OF}{_NAME}){{0,3}}",
        rf"\b(?:{'|'.join(_RULES.before_name)}) {_OF}{_NAME}(?: {_OF}{_NAME}){{0,3}},?(?: n\.?º?)? {_NUMBER}\b",
        rf"\b\p{{Lu}}[\p{{L}}\-]+(?:{'|'.join(_RULES.suffixes)}) {_NUMBER}\b",
        rf"\b{_NAME} (?:{'|'.join(_RULES.between)}) {_NUMBER}\b",
    )
)
#: Maximum number of characters between a full name and an address that are flagged together, and between those side by side.
NAME_TO_ADDRESS, BESIDE = 150, 30
#: Characters after an address in which its unit or its postal code can be, and before it for words of residence.
AFTER, BEFORE = 60, 40
#: A house number, and characters that code and tables have, but addresses and people's names do not. The last two
#: expressions exclude the signs and digits that leetspeak uses as letters.
_HOUSE_NUMBER = re.compile(r"(?<![\w.\-+#])\d{1,5}[A-Za-z]?(?:[-/]\d{1,4}[A-Za-z]?)?(?![\w%°]|[.\-]\d)")
_NOT_ADDRESS = re.compile(r"[_=<>(){}\[\]\\+*~`;€£%:]|\d[.,]\d")
_NOT_NAME = re.compile(r"[_=<>(){}\[\]\\+*~`;%:#\n\t,2689]|  ")
#: A unit, or a postal code with the town or the state beside it. Years are not postal codes.
_UNIT_OR_CODE = re.compile(
    r"(?i:\b(?:apt|apartment|suite|unit|flat|p\.? ?o\.? ?box)\b\.? ?#?\d{1,5}\b)"
    r"|\b[A-Z]{2},? \d{5}(?:-\d{4})?\b|\b[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b"
    r"|\b(?!(?:1[5-9]|20)\d\d\b)\d{4,6},? [^\W\d_a-z][^\W\d_]{2}|[^\W\d_a-z][^\W\d_]{2,30},? (?!(?:1[5-9]|20)\d\d\b)\d{4,6}\b"
)
_RESIDENCE = re.compile(rf"(?i)\b(?:{'|'.join(_RULES.residence)})\b[^.!?]*$")
#: Text between a name and an address side by side: punctuation, an age, "of", or the label of a form.
_BESIDE = re.compile(r"(?:[\s,;:()|>\-\u2013]|\d{1,3}(?=[,)])|\bof\b|[^\W\d_]+ ?:)*")
_SENTENCE_END = re.compile(r"\w{3}[.!?](?: |$)|\n\n")


def is_somebodys(text: str, address: Span, names: Sequence[Span], *, by_form: bool) -> bool:
    """Return whether an address has a house number, a full name nearby, and a sign that the person lives there.

    Parameters
    ----------
    text
        The whole text.
    address
        A street of `STREET`, or an address that only the token head found.
    by_form
        Whether the address is a street of `STREET`. If not, a name beside the address is not a sign.
    names
        The spans of full names; a name with characters of code or of leetspeak does not count.
    """
    value = text[address.start : address.end]
    if not _HOUSE_NUMBER.search(value) or sum(map(str.isalpha, value)) < 3 or _NOT_ADDRESS.search(value):
        return False
    near = [
        name
        for name in names
        if max(address.start - name.end, name.start - address.end) < NAME_TO_ADDRESS
        and not _NOT_NAME.search(text[name.start : name.end])
    ]
    if not near:
        return False
    after = text[address.end : address.end + AFTER]
    end = _SENTENCE_END.search(after)
    if _UNIT_OR_CODE.search(value + (after[: end.start()] if end else after)):
        return True
    if _RESIDENCE.search(text[max(0, address.start - BEFORE) : address.start]):
        return True
    return by_form and any(
        0 <= address.start - name.end <= BESIDE and _BESIDE.fullmatch(text[name.end : address.start]) for name in near
    )
