"""The secrets of a sentence of a system prompt: passwords, keys, codes and long numbers."""

# ruff: noqa: RUF001 - typographic dashes and quotation marks
import re
from itertools import takewhile

from detectors.text.leak_words import NAMED, QUOTED, patterns, words

#: Follows a sign, such as a full stop, that does not end a sentence.
JOINER = "\u2060"
#: A key, or the name and password in an address.
_KEY = re.compile(
    r"(?<=://)[^\s:/@]{1,60}:[^\s/@]{3,60}(?=@)|(?<![\w-])(?=[\w-]{0,63}\d)(?=[\w-]{0,63}[A-Za-z])[A-Za-z0-9][\w-]{14,120}(?![\w-])"
)
#: A code in a confidential sentence: letters and digits, or capitals.
_CODE = re.compile(
    r"(?<![\w-])(?=[\w-]{0,40}\d)(?=[\w-]{0,40}[A-Za-z])[A-Za-z0-9][\w-]{2,60}(?![\w-])|(?<![\w-])[A-Z][A-Z0-9]{3,}(?:-[A-Z0-9]+)*(?![\w-])"
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_NUMBER = re.compile(r"(?<![\w.,])\d[\d.,:/-]*(?<=\d)(?!\w)")
_AROUND = "\"“”„«»`'’*("
_VALUE_CHARACTERS, _VALUE_WORDS, _LABEL_WORDS = 200, 5, 3


def values_of(text: str) -> list[str]:
    """Return the values after phrases such as "the password is"; after a noun alone, only a quotation or a code counts."""
    lists = words()
    found: list[str] = []
    for pattern, any_word in ((patterns().value, True), (patterns().coded_value, False)):
        for match in pattern.finditer(text):
            rest = text[match.end() : match.end() + _VALUE_CHARACTERS]
            if quoted := QUOTED.match(rest):
                found.append(quoted.group(1) or quoted.group(2))
                continue
            taken = list(takewhile(lambda word: word.lower() not in lists.value_ends, _phrase(rest)))
            if not taken or taken[0].lower() in lists.no_values:
                continue
            if _is_coded(taken[0]):
                found.append(taken[0])
            elif any_word and len(taken) <= _VALUE_WORDS:
                found.append(" ".join(taken))
    return [value for value in found if len(value) > 2]


def _phrase(text: str) -> list[str]:
    """Return the words before the first sign that ends a phrase."""
    taken: list[str] = []
    for word in text.split():
        whole = word.replace(JOINER, "").strip(_AROUND)
        bare = whole.rstrip(".,;:!?)—–").strip(_AROUND)
        if bare:
            taken.append(bare)
        if not bare or (bare != whole and JOINER not in word):
            break
    return taken


def _is_coded(word: str) -> bool:
    """Return whether a word is not a word of a language: it has digits, signs or only capitals."""
    if any(map(str.isdigit, word)):
        return True
    if word.isalpha():
        return word.isupper() and len(word) > 2 and word not in words().shouted
    return not word.islower() and not word.istitle() and len(word) > 4


def keys_of(text: str) -> list[str]:
    """Return the keys of a sentence that need no other sign of secrecy."""
    return [match.group() for match in _KEY.finditer(text) if _is_random(match.group())]


def _is_random(key: str) -> bool:
    """Return whether a part of eight or more characters has letters and two digits, so the key is not a name."""
    parts = re.split(r"[-_]", key)
    return ":" in key or any(
        len(part) > 7 and sum(map(str.isdigit, part)) > 1 and any(map(str.isalpha, part)) for part in parts
    )


def secrets_of(text: str, kept: str) -> list[str]:
    """Return the values, keys, quotations, codes and long numbers of a confidential sentence.

    `kept` is the sentence without the words that the operator wants the user to read.
    """
    lists = words()
    found = values_of(text) + [match.group() for match in _KEY.finditer(text)]
    label = NAMED.search(text)
    if label and label.group(1).lower() in lists.secret_labels:
        value = _phrase(text[label.end() : label.end() + _VALUE_CHARACTERS])
        found += [" ".join(value)] if 0 < len(value) <= _LABEL_WORDS else []
    found += [match.group(1) or match.group(2) for match in QUOTED.finditer(kept)]
    codes = [code for code in _CODE.findall(kept) if not code.isdigit()]
    heading = sum(map(str.isalpha, codes)) > 2
    found += [code for code in codes if code not in lists.shouted and not (heading and code.isalpha())]
    numbers = _NUMBER.findall(kept)
    found += [number for number in numbers if sum(map(str.isdigit, number)) > 3 and not _YEAR.fullmatch(number)]
    return found
