"""Decoded copies of a text: Base64, hexadecimal and other codes, Caesar ciphers, Morse, reversed and spelled words.

`detectors.normalise.disguise` decodes text in which an attack is hidden from a classifier. This module decodes text in which a known text
(a secret) is hidden, so it can try unlikely codes: a wrong guess does not match the known text.
"""

import base64
import binascii
import html
import re
import urllib.parse
from collections.abc import Callable, Iterator
from itertools import islice

from detectors.normalise.disguise import Encoded, encoded

#: Maximum number of decoded parts of one code (four times as many for `_CODES`), and maximum length of an encoded part.
MOST, LONGEST = 8, 8_192
_MORSE = {
    ".-": "a", "-...": "b", "-.-.": "c", "-..": "d", ".": "e", "..-.": "f", "--.": "g", "....": "h", "..": "i", ".---": "j", "-.-": "k", ".-..": "l", "--": "m",
    "-.": "n", "---": "o", ".--.": "p", "--.-": "q", ".-.": "r", "...": "s", "-": "t", "..-": "u", "...-": "v", ".--": "w", "-..-": "x", "-.--": "y", "--..": "z",
    "-----": "0", ".----": "1", "..---": "2", "...--": "3", "....-": "4", ".....": "5", "-....": "6", "--...": "7", "---..": "8", "----.": "9", "-....-": "-", "/": " ", "|": " ",
}  # fmt: skip
_NATO = re.findall(
    r"\w+",
    "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec romeo "
    "sierra tango uniform victor whiskey xray yankee zulu",
)
_SPOKEN = {word: word[0] for word in _NATO} | {
    "alfa": "a", "juliett": "j", "whisky": "w", "zero": "0", "oh": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "niner": "9", "dash": "", "hyphen": "", "dot": "", "space": "", "underscore": "",
}  # fmt: skip
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_SHIFTS = [str.maketrans(_ALPHABET, _ALPHABET[n:] + _ALPHABET[:n]) for n in range(1, 26)]
_ATBASH = str.maketrans(_ALPHABET, _ALPHABET[::-1])
_WORD = re.compile(r"[^\W_]+")
_COMMON = frozenset(
    _WORD.findall("the and you to is are of in not never do if user must only your a with for it answer")
)
#: Braille cells of the letters a to z, and the letters of flags.
_PICTURES = {
    0x2800 + code: letter
    for code, letter in zip(
        (1, 3, 9, 25, 17, 11, 27, 19, 10, 26, 5, 7, 13, 29, 21, 15, 31, 23, 14, 30, 37, 39, 58, 45, 61, 53),
        _ALPHABET,
        strict=True,
    )
} | {0x1F1E6 + n: letter for n, letter in enumerate(_ALPHABET)}
_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")  # noqa: RUF001 - both apostrophes
_EXAMPLE = re.compile(
    r"\b(\w)\s{0,2}(?:,\s?)?(?:as in|for|like|is for|[-=:]>?)\s{0,2}['\"(]?[^\W\d_]{2,20}", re.IGNORECASE
)


def _octets(base: int) -> Callable[[str], bytes]:
    size = {2: 8, 8: 3, 10: 3, 16: 2}[base]
    digits = re.compile(rf"[0-9a-fA-F]{{1,{size}}}")
    return lambda text: bytes(
        int(number, base) for number in digits.findall(text.replace("0x", " ").replace("\\x", " "))
    )


_CODES: tuple[tuple[re.Pattern[str], Callable[[str], bytes]], ...] = (
    (
        re.compile(r"(?<![\w+/-])[A-Za-z0-9+/_-]{6,}={0,2}(?![\w+/=])"),
        lambda text: base64.urlsafe_b64decode(_padded(text, 4)),
    ),
    (re.compile(r"(?<![A-Z2-7])[A-Z2-7]{8,}={0,6}(?![A-Z2-7=])"), lambda text: base64.b32decode(_padded(text, 8))),
    (re.compile(r"(?<!\w)(?:[0-9a-fA-F]{2}){3,}(?!\w)"), bytes.fromhex),
    (
        re.compile(
            r"(?<!\w)(?:0x|\\x)?[0-9a-fA-F]{2}(?:[\s,:-]{1,3}(?:0x|\\x)?[0-9a-fA-F]{2}){2,}(?!\w)|(?:\\x[0-9a-fA-F]{2}){3,}"
        ),
        _octets(16),
    ),
    (re.compile(r"(?<!\w)(?:\d{2,3}[\s,.-]{1,3}){2,}\d{2,3}(?!\w)"), _octets(10)),
    (re.compile(r"(?<!\w)(?:(?:[01]{8}\s?){3,}|(?:[01]{7}\s){2,}[01]{7})(?!\w)"), _octets(2)),
    (re.compile(r"(?<!\w)(?:[0-7]{3}[\s,]{1,2}){2,}[0-7]{3}(?!\w)"), _octets(8)),
)


def _is_word(text: str) -> bool:
    """Return whether a text is a word of a language rather than a code."""
    return len(text) < 16 and text.isalpha() and (text.islower() or text.istitle())


def _padded(text: str, block: int) -> str:
    bare = text.rstrip("=").replace("+", "-").replace("/", "_") if block == 4 else text.rstrip("=")
    bare = bare[: LONGEST // block * block]
    return bare + "=" * (-len(bare) % block)


def decodings(text: str) -> Iterator[Encoded]:
    """Yield the decoded parts of a text: at most 32 of each code."""
    yield from encoded(text)
    for pattern, decode in _CODES:
        unusual = (match for match in pattern.finditer(text) if not _is_word(match.group()))
        for match in islice(unusual, MOST * 4):
            try:
                inner = decode(match.group()[:LONGEST]).decode("utf-8")
            except (UnicodeDecodeError, binascii.Error, ValueError):
                continue
            if inner.strip() and all(character.isprintable() or character.isspace() for character in inner):
                yield Encoded(match.start(), match.end(), inner)
    for signs, read in _SIGNS:
        for match in islice(signs.finditer(text), MOST):
            if len(inner := read(match.group()[:LONGEST])) > 2:
                yield Encoded(match.start(), match.end(), inner)


def _positions(run: str) -> str:
    """Return the letters at positions of the alphabet (1 is a), or "" if a number is not a position."""
    numbers = [int(number) for number in re.findall(r"\d+", run)]
    return "".join(_ALPHABET[number - 1] for number in numbers) if all(0 < n <= 26 for n in numbers) else ""


_MARKS = str.maketrans("·–−_", ".---")  # noqa: RUF001 - dots and dashes of all kinds


def _morse(run: str) -> str:
    marks = run.translate(_MARKS)
    groups = re.sub(r" {2,}", " / ", marks.strip()).split()
    if not groups or any(group not in _MORSE for group in groups):
        return ""
    return "".join(_MORSE[group] for group in groups)


#: Codes of characters, each with its reading.
_SIGNS: tuple[tuple[re.Pattern[str], Callable[[str], str]], ...] = (
    (re.compile(r"(?<![\w.-])[.\-·–−_/| ]{7,}(?![\w])"), _morse),  # noqa: RUF001 - dots and dashes of all kinds
    (re.compile(r"(?<!\w)(?:\d{1,2}[\s,.|/-]{1,4}){2,}\d{1,2}(?!\w)"), _positions),
    (
        re.compile("[\u2801-\u283f\U0001f1e6-\U0001f1ff](?:[\u2800 ]{0,3}[\u2801-\u283f\U0001f1e6-\U0001f1ff]){3,}"),
        lambda run: run.translate(_PICTURES),
    ),
    (re.compile(r"(?:%[0-9A-Fa-f]{2}[\w.-]{0,3}){3,}"), urllib.parse.unquote),
    (re.compile(r"(?:&#(?:\d{2,6}|x[0-9A-Fa-f]{2,5});[\w .-]{0,3}){3,}"), html.unescape),
    (
        re.compile(r"(?:\\u[0-9a-fA-F]{4}){3,}"),
        lambda run: "".join(chr(int(code, 16)) for code in re.findall(r"\\u([0-9a-fA-F]{4})", run)),
    ),
)


def caesar_shift(text: str) -> str | None:
    """Return the plain text of a Caesar or Atbash cipher, in lower case, or None if ``text`` is not in such a cipher.

    The chosen cipher has the most common words in its plain text: at least two, and 10 % of the words.
    """
    beginning = text[:4_000].lower()
    listed = _WORD.findall(beginning)
    if not listed or sum(word in _COMMON for word in listed) > 0.1 * len(listed):
        return None
    best, most = None, max(2.0, 0.1 * len(listed))
    for table in (*_SHIFTS, _ATBASH):
        if (count := sum(word.translate(table) in _COMMON for word in listed)) >= most:
            best, most = table, count
    return None if best is None else text.lower().translate(best)


def ciphers(word: str) -> list[str]:
    """Return a lower-case text under each Caesar cipher and Atbash; an empty list if the text has no letters."""
    if not any(letter in _ALPHABET for letter in word):
        return []
    return [word.translate(table) for table in (*_SHIFTS, _ATBASH)]


def spelled(text: str, least: int = 1) -> str:
    """Return the letters and digits that a text spells one by one, in lower case; other words separate the runs by a space.

    These are single letters, digits, digits as words and the words of the NATO alphabet. In "S as in Sam", only the first
    letter counts. A run of fewer than `least` words is left out.
    """
    runs: list[list[str]] = [[]]
    for word in _TOKEN.findall(_EXAMPLE.sub(r" \1 ", text).lower()):
        if len(word) == 1 or word in _SPOKEN or (word.isdigit() and len(word) <= 4):
            runs[-1].append(_SPOKEN.get(word, word))
        elif runs[-1]:
            runs.append([])
    return " ".join("".join(run) for run in runs if len(run) >= least)
