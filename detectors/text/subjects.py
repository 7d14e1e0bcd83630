"""What a sentence is about, comparable across wordings and languages: stems, numbers and names."""

import re
import unicodedata
from functools import cache

import msgspec

from detectors.text.claims import STEM, Claim
from detectors.toml_files import read_toml

__all__ = ["Subject", "folded", "is_year", "numbers_of", "stem", "subject_of"]

_WORD = re.compile(r"[^\W_]+")
_DIGITS = re.compile(r"\d+(?:[.,:]\d+)*")
_JOINING = frozenset({"and", "point", "und", "et", "y", "e", "en", "i", "comma", "komma", "virgule", "coma"})
_HUNDRED = {
    "hundred": 100,
    "hundert": 100,
    "cent": 100,
    "cien": 100,
    "cento": 100,
    "thousand": 1000,
    "tausend": 1000,
    "mille": 1000,
    "mil": 1000,
}
#: Larger numbers in words count as this one; Python writes no number of more than 4,300 digits.
_LARGEST = 10**15
#: Share of English function words below which a text is taken for another language.
ENGLISH_SHARE = 0.12
_ENGLISH = frozenset(
    _WORD.findall(
        "the a an and or of to in is are was for with that this it you i not on be as at by from have has do does if can will my your we they he she its me so but there which who what when"
    )
)


class _Lists(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    words: tuple[str, ...]
    numbers: tuple[str, ...]


class Subject(msgspec.Struct, frozen=True):
    """The stems and names of a sentence without its function words, and the digits of its numbers."""

    stems: frozenset[str]
    numbers: frozenset[str]
    names: frozenset[str]


@cache
def _tables() -> tuple[dict[str, set[str]], dict[str, int]]:
    lists = read_toml("detectors.text", "leak_translations.toml", _Lists)
    translated: dict[str, set[str]] = {}
    for line in lists.words:
        english, _, foreign = line.partition(": ")
        for word in foreign.split():
            translated.setdefault(stem(word), set()).add(stem(english))
    values = {word: int(line.partition(":")[0]) for line in lists.numbers for word in line.partition(": ")[2].split()}
    return translated, values


def folded(text: str) -> str:
    """Return a text in lower case, without accents."""
    lowered = text.lower().replace("ß", "ss").replace("ł", "l")
    if lowered.isascii():
        return lowered
    return "".join(c for c in unicodedata.normalize("NFD", lowered) if not unicodedata.combining(c))


def stem(word: str) -> str:
    """Return the first letters of a word, without accents and without the s of a plural."""
    plain = folded(word)
    return (plain.rstrip("s") if len(plain) > 3 else plain)[:STEM].rstrip("s")


def subject_of(claim: Claim) -> Subject:
    """Return the subject of a sentence; the stems of a sentence in another language include English translations."""
    stems = {stem(word) for word in claim.words}
    names = {stem(name) for name in claim.names}
    if not _is_english(claim.text):
        translated, _ = _tables()
        names = set()  # in German, all nouns have capitals
        stems |= {english for one in stems for english in translated.get(one, ())}
    return Subject(frozenset(stems - names - {""}), numbers_of(claim.text), frozenset(names - {""}))


def _is_english(text: str) -> bool:
    """Return whether a text has the function words of English, or no words."""
    listed = _WORD.findall(text.lower())
    return not listed or sum(word in _ENGLISH for word in listed) >= ENGLISH_SHARE * len(listed)


def is_year(number: str) -> bool:
    """Return whether a number is a year from 1900 to 2099."""
    return re.fullmatch(r"(?:19|20)\d\d", number) is not None


def numbers_of(text: str) -> frozenset[str]:
    """Return the numbers of a text as digits without separators: "4,10" and "four ten" are 410.

    Numbers in words count in seven languages; "three hundred and forty" is 340.
    """
    found = {re.sub(r"\D", "", number) for number in _DIGITS.findall(text)}
    _, values = _tables()
    total, joined, last = 0, "", -1
    for word in (*_WORD.findall(folded(text)), ""):
        if word in values:
            value = values[word]
            unit = value < 10 and last >= 20  # "sixty-five" is one number
            joined = joined[: -len(str(last))] + str(last + value) if unit else joined + str(value)
            total, last = total + value, value
        elif last >= 0 and word in _HUNDRED:
            total, last = min(total * _HUNDRED[word], _LARGEST), 100
        elif last >= 0 and word not in _JOINING:
            found |= {str(total), joined}
            total, joined, last = 0, "", -1
    return frozenset(number for number in found if number)
