"""Copies of a text in which disguises such as leetspeak are undone, for classifiers.

A classifier of words does not understand ``1d10t``, ``i.d.i.o.t``, emoji, Base64 or Unicode tags, but people and
language models do. The copies are guesses, and most copies have no offsets into the raw text. So the copies are used
only for scores: the highest score counts. The raw text is scored, too, unless two of five words are in disguise. See
`detectors.normalise.unicode` for copies with offsets.
"""

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from typing import NamedTuple

from detectors.normalise.loops import without_loops
from detectors.normalise.unicode import normalise, without_surrogates

# Emoji that people use with another meaning than their Unicode name.
_PICTURES = {
    "\U0001f52a": "knife", "\U0001f595": "middle finger", "\U0001f4a9": "shit", "\U0001f351": "peach butt", "\U0001f346": "eggplant penis",
    "\U0001f44c": "ok hand", "\U0001f921": "clown", "\U0001f437": "pig", "\U0001f435": "monkey", "\U0001f412": "monkey", "\u2764": "love",
    "\U0001f3fb": "white", "\U0001f3fc": "white", "\U0001f3fd": "brown", "\U0001f3fe": "black", "\U0001f3ff": "black", "\u2640": "woman",
    "\u2642": "man", "\U0001f5d1": "trash",
}  # fmt: skip
#: Maximum number of characters of the names in a text: a million characters of symbols would have 26 million characters of names.
_NAMES = 100_000
_DROPPED = str.maketrans("", "", "\u200d\ufe0f")

_LEET = str.maketrans("013457@$!|", "oieastasil")
# A word with digits or signs among its letters, which is not part of an address.
_LEET_WORD = re.compile(
    r"(?<![\w@.])(?=[a-z@$!|\d]{0,29}[a-z])(?=[a-z@$!|\d]{0,28}[@$!|013457][a-z@$!|\d]{0,28}[a-z])[a-z@$!|\d]{3,30}(?![\w@]|\.\w)",
    re.IGNORECASE,
)
# In a text with such a word, a word that only begins or ends with such a sign also counts.
_LEET_LOOSE = re.compile(r"(?<![\w@.])(?=[a-z@$!|\d]{0,29}[a-z])[a-z@$!|\d]{2,30}(?![\w@]|\.\w)", re.IGNORECASE)
_QUANTITY = re.compile(
    r"(?<!\w)\$?\d+(?:st|nd|rd|th|k|m|d|x|s|am|pm|g|gb|mb|kg|km|cm|mm|ml|min|px|h|e|a|b|c)(?!\w)", re.IGNORECASE
)
_SPACED = re.compile(r"(?<!\w)[^\W\d_]([ .\-_*])(?:[^\W\d_]\1){1,40}[^\W\d_](?!\w)")
# In a text with such a word, also a word of two letters between two spaces, or at an end of the text.
_SPACED_PAIR = re.compile(r"(?:(?<=\s\s)|^)([^\W\d_]) ([^\W\d_])(?=\s\s|$)")
_REPEATED = re.compile(r"([^\W\d_])\1{2,}")
_BASE64 = re.compile(r"(?<![\w+/])[A-Za-z0-9+/]{16,}={0,2}(?![\w+/=])")
_HEX = re.compile(r"(?<!\w)(?:[0-9a-fA-F]{2}){12,}(?!\w)")
_TAGS = re.compile("[\U000e0020-\U000e007e]+")
#: Maximum numbers of decoded and of tried passages of each code, and maximum length of a passage.
MOST_DECODED, MOST_TRIED, LONGEST_DECODED = 8, 400, 8192
# A word in a text of leetspeak; it contains no @, because e-mail addresses do.
_LEET_PART = re.compile(r"(?=[\d$!|]{0,30}[a-z])[a-z\d$!|]{2,30}", re.IGNORECASE)
_ANY_WORD = re.compile(r"[^\W_]+")
_DIGITS = frozenset("013457")
# Any word of a text in leetspeak, such as "4" and "4nd", also in code and addresses.
_LEET_ALL = re.compile(r"[a-z\d$!|]+", re.IGNORECASE)
#: A text is in disguise if at least this share of its words is in disguise. Leetspeak also needs at least this number of such words. Longer words are
#: digests or keys.
LEET_SHARE, LEET_WORDS, LONGEST_WORD = 0.4, 2, 24


class Encoded(NamedTuple):
    """The start and end offsets of an encoded part of a text, and the decoded text."""

    start: int
    end: int
    text: str


def _is_picture(character: str) -> bool:
    return character > "\u2000" and (character in _PICTURES or unicodedata.category(character) == "So")


def _name(picture: str) -> str:
    name = _PICTURES.get(picture) or unicodedata.name(picture, "symbol").lower()
    return name.replace("regional indicator symbol letter ", "").replace(" sign", "").replace(" face", "")


def spoken(text: str, *, silent: bool = False) -> str:
    """Replace emoji and other symbols by their names, because the tokenizer maps every emoji to ``[UNK]``.

    Equal runs of emoji are named once: some people write an emoji between all words. The names have at most 100,000 characters
    in all. With ``silent``, remove the symbols instead; this joins the parts of a word that a symbol separated.
    """
    if text.isascii():
        return text
    parts: list[str] = []
    named, left = set[str](), _NAMES
    for pictures, characters in groupby(text.translate(_DROPPED), _is_picture):
        run = "".join(characters)
        if not pictures or left <= 0:
            parts.append(run)
        elif not silent:
            name = " " if run in named else "".join(f" {_name(picture)} " for picture in run)[:left]
            parts.append(name)
            named.add(run)
            left -= len(name)
    joined = "".join(parts)
    return re.sub(" {2,}", " ", joined) if silent else joined


def _unleet(word: str) -> str:
    bare = word.rstrip("!")  # an exclamation mark at the end is not a letter
    return bare.translate(_LEET) + word[len(bare) :]


def _is_leet(text: str) -> bool:
    """Return whether many words of a text have digits in place of letters."""
    words = _ANY_WORD.findall(_QUANTITY.sub(" ", text))
    words = [word for word in words if len(word) <= LONGEST_WORD and not word.isdigit()]
    leet = sum(not _DIGITS.isdisjoint(word) for word in words)
    return leet >= LEET_WORDS and leet >= LEET_SHARE * len(words)


def _letters(text: str) -> str:
    """Replace leetspeak by letters; remove repetitions of a letter, and spaces and signs between a word's letters."""
    joined = _SPACED.sub(lambda match: match.group().replace(match.group(1), ""), text)
    if joined != text:
        text = re.sub(" {2,}", " ", _SPACED_PAIR.sub(r"\1\2", joined))
    if _is_leet(text):
        text = _LEET_ALL.sub(lambda m: _unleet(m.group()) if any(map(str.isalnum, m.group())) else m.group(), text)
    if _LEET_WORD.search(_QUANTITY.sub(" ", text)):
        text = _LEET_LOOSE.sub(lambda m: m.group() if _QUANTITY.fullmatch(m.group()) else _unleet(m.group()), text)
    return _REPEATED.sub(r"\1", text)


def unleeted(text: str) -> str | None:
    """Replace digits and signs by letters, at the same offsets; return None if the text is not in leetspeak."""
    if not _is_leet(text):
        return None
    return _LEET_PART.sub(lambda m: m.group() if _QUANTITY.fullmatch(m.group()) else _unleet(m.group()), text)


def _is_sentence(text: str) -> bool:
    """Return whether a decoded text is a sentence: it has a space, and at least 60 % of it is letters and spaces."""
    plain = sum(character.isalpha() or character.isspace() for character in text)
    return " " in text and plain >= 0.6 * len(text)


def _tags(run: str) -> bytes:
    return bytes(ord(tag) - 0xE0000 for tag in run)


def _from_base64(text: str) -> bytes:
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare[: len(bare) // 4 * 4] if len(bare) % 4 == 1 else bare + "=" * (-len(bare) % 4))
    except binascii.Error:
        return b""


_DECODERS: tuple[tuple[re.Pattern[str], Callable[[str], bytes]], ...] = (
    (_TAGS, _tags),
    (_BASE64, _from_base64),
    (_HEX, bytes.fromhex),
)


def encoded(text: str) -> list[Encoded]:
    """Return the decoded parts of a text: at most eight each of tag characters, Base64 and hexadecimal digits.

    Of each code, at most 400 passages are tried, because paths, digests and long names look like Base64.
    """
    return [
        part
        for pattern, decode in _DECODERS
        for part in islice(_decoded(islice(pattern.finditer(text), MOST_TRIED), decode), MOST_DECODED)
    ]


def _decoded(passages: Iterable[re.Match[str]], decode: Callable[[str], bytes]) -> Iterator[Encoded]:
    for match in passages:
        try:
            inner = _utf8(decode(match.group()[:LONGEST_DECODED]), cut=len(match.group()) > LONGEST_DECODED)
        except UnicodeDecodeError:
            continue
        if inner and "".join(inner.split()).isprintable():
            yield Encoded(match.start(), match.end(), inner)


def _utf8(content: bytes, *, cut: bool) -> str:
    """Decode UTF-8; of content that was ``cut``, without a character that the cut divided. Raises UnicodeDecodeError."""
    return codecs.getincrementaldecoder("utf-8")().decode(content, final=not cut)


def _sentences(text: str) -> list[Encoded]:
    """Return the parts of a text that are encoded sentences."""
    tags = _TAGS.search(text) is not None
    return [one for one in encoded(text) if (tags and _TAGS.match(text, one.start)) or _is_sentence(one.text)]


def _undone(raw: str) -> str:
    normalised = normalise(raw)
    return _letters(normalised.text if normalised else raw)


def views(text: str) -> list[str]:
    """Return the one to three texts to score, in time linear in the length.

    All are made from the text without loops. The first text is the raw text with emoji replaced by their names. In the copy, disguises
    are undone. If two in five words of the copy are not in the raw text, the first text is made from the copy, because classifiers score
    disguised words wrongly. The second text is the copy without emoji, if it differs from the first. The last text has the decoded
    sentences, if any.
    """
    raw = without_loops(without_surrogates(text))
    copy = _undone(raw)
    found = [spoken(copy if _is_disguised(raw, copy) else raw)]
    plain = spoken(copy, silent=True)
    if plain != found[0]:
        found.append(plain)
    hidden = "\n".join(one.text for one in _sentences(raw))
    return [*found, hidden] if hidden else found


def plain_views(text: str) -> list[str]:
    """Return the one or two texts to score by a model that knows no disguise, in time linear in the length.

    The first text is the raw text without encoded sentences and without symbols such as emoji. If two in five words are in disguise, their
    disguise is undone. The second text has the decoded sentences, if any. Every word of the raw text that is not encoded is in the first text;
    of a loop, one copy.
    """
    raw = without_loops(without_surrogates(text))
    hidden = _sentences(raw)
    rest, done = [], 0
    for one in sorted(hidden):
        rest.append(raw[done : one.start])
        done = max(done, one.end)
    left = " ".join([*rest, raw[done:]])
    copy = _undone(left)
    found = copy if _is_disguised(left, copy) else left
    if any(map(_is_picture, found)):
        found = spoken(found, silent=True)
    return [one for one in (found, "\n".join(one.text for one in hidden)) if one.strip()] or [raw]


def _is_disguised(raw: str, copy: str) -> bool:
    if copy == raw:
        return False
    words, known = _ANY_WORD.findall(copy), set(_ANY_WORD.findall(raw))
    return sum(word not in known for word in words) >= max(1, LEET_SHARE * len(words))
