"""A normalised copy of a text that was disguised to evade detection, with offsets into the raw text.

A text with zero-width, tag and lookalike characters is readable, but patterns and models do not recognise its words.
Detectors score the raw text and the copy; spans in the copy are reported with their offsets in the raw text.
"""

# ruff: noqa: RUF001 - this module lists ambiguous characters
import re
import unicodedata
from functools import cache

import msgspec

# Letters that look like ASCII letters: the subset of Unicode TR 39 that people use to evade filters.
_LOOKALIKES = (
    ("аеорсухіјѕԁһӏԛԝАВЕКМНОРСТУХЅІЈԌ", "aeopcyxijsdhlqwABEKMHOPCTYXSIJG"),
    ("гьмтвкнαβεικνορτυχωγηρμΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "rbmtbkhabeiknoptuxwynpuABEZHIKMNOPTYX"),
    ("ꭺᴏᴄᎠᎬᎻᎫᏦᏞᎷᏢᏚᎢᏙᎳᏃ", "AOCDEHJKLMPSTVWZ"),
    ("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz"),
    ("ɑɡıȷɩʋɦɾʟօսցհոք", "agijivhrlouqhnp"),
    ("\u2010\u2011\u2012\u2013\u2014\u2212\ufe58", "-------"),
)
_FOLD = {ord(fancy): plain for fancies, plains in _LOOKALIKES for fancy, plain in zip(fancies, plains, strict=True)}
# Invisible although not of category Cf: combining grapheme joiner, Hangul fillers, Khmer inherent vowels, Braille blank.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
# Emoji: arrows to symbols, and the pictographic planes; one space after an emoji is removed with it.
_PICTURES = re.compile("[\u2190-\u2bff\U0001f000-\U0001faff]+ ?")
_SURROGATE = re.compile("[\ud800-\udfff]")
# In a word without ASCII letters, only these exact lookalikes count: many Greek words consist of approximate ones.
_TWINS = frozenset(_LOOKALIKES[0][0] + _LOOKALIKES[2][0] + _LOOKALIKES[3][0])
_LETTERS = frozenset("".join(fancies for fancies, _ in _LOOKALIKES[:-1]))
_DASHES = {ord(dash): "-" for dash in _LOOKALIKES[-1][0]}
_WORD = re.compile(r"\w+")
#: Maximum number of characters by which a copy is longer than its text: a ligature can become 18, which costs time and memory.
_GROWTH = 100_000
_CLUSTER = 32  # most marks composed with one letter: languages need fewer, and more would not take linear time


class Normalised(msgspec.Struct, frozen=True, kw_only=True):
    """A normalised copy of a text; its character ``i`` was made from ``raw[starts[i]:ends[i]]``."""

    text: str
    starts: list[int]
    ends: list[int]

    def raw_span(self, start: int, end: int) -> tuple[int, int]:
        """Return the start and end in the raw text of ``text[start:end]``, which must not be empty."""
        return self.starts[start], self.ends[end - 1]


def without_surrogates(text: str) -> str:
    """Replace each lone surrogate by U+FFFD, because tokenizers reject lone surrogates."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _hidden(character: str) -> bool:
    return (
        unicodedata.category(character) == "Cf" or character in _INVISIBLE or "\ufe00" <= character <= "\ufe0f"
        or "\U000e0000" <= character <= "\U000e01ef"
    )  # fmt: skip


@cache
def _unchanged() -> re.Pattern[str]:
    """Return a pattern for runs of characters that stay as they are and have no mark after them.

    Most of a text is in such runs, which need no work per character; shorter runs would save nothing.
    """
    changed = "".join(
        re.escape(character)
        for character in map(chr, range(0x10000))
        if _hidden(character) or unicodedata.combining(character) or not unicodedata.is_normalized("NFKC", character)
    )
    plain = f"[^{changed}\U00010000-\U0010ffff]"
    return re.compile(f"{plain}{{8,}}(?={plain}|\\Z)")


def _pieces(text: str, first: int, last: int) -> list[tuple[str, int, int]]:
    """Return (piece, start, end) for each visible character of a range; a piece is a character with its combining marks."""
    pieces: list[tuple[str, int, int]] = []
    for index, character in enumerate(text[first:last], first):
        if not character.isascii() and _hidden(character):
            continue
        if pieces and unicodedata.combining(character) and len(pieces[-1][0]) < _CLUSTER:
            piece, start, _ = pieces[-1]
            pieces[-1] = (piece + character, start, index + 1)
        else:
            pieces.append((character, index, index + 1))
    return pieces


def _fold(match: re.Match[str]) -> str:
    """Replace lookalikes in a word if the result is ASCII, so that Russian and Greek words remain unchanged."""
    word = match.group()
    if word.isascii():
        return word
    mixed = any(character.isascii() and character.isalpha() for character in word)
    if not mixed and (len(word) < 3 or not _TWINS.issuperset(word)):
        return word
    folded = word.translate(_FOLD)
    return folded if folded.isascii() else word


def normalise(text: str) -> Normalised | None:
    """Return the normalised copy of ``text``, or None if the copy would equal ``text``; time is linear in length.

    Compatibility forms are composed (NFKC), until the copy has 100,000 characters more than ``text``. Format, tag and
    other invisible characters are removed. Lookalikes of ASCII letters are replaced.
    """
    if text.isascii():
        return None
    raw = without_surrogates(text)
    out: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    left, done = _GROWTH, 0
    for run in (*(match.span() for match in _unchanged().finditer(raw)), (len(raw), len(raw))):
        for piece, start, end in _pieces(raw, done, run[0]):
            composed = unicodedata.normalize("NFKC", piece)
            grown = max(0, len(composed) - len(piece))
            if grown > left:
                composed = piece
            else:
                left -= grown
            out.append(composed)
            starts += [start] * len(composed)
            ends += [end] * len(composed)
        out.append(raw[slice(*run)])
        starts += range(*run)
        ends += range(run[0] + 1, run[1] + 1)
        done = run[1]
    composed = "".join(out)
    copy = (composed if _LETTERS.isdisjoint(composed) else _WORD.sub(_fold, composed)).translate(_DASHES)
    return None if copy == text else Normalised(text=copy, starts=starts, ends=ends)


def without_pictures(text: str, copy: Normalised | None) -> Normalised | None:
    """Remove emoji from ``copy``, or from ``text`` if ``copy`` is None; return ``copy`` if there are no emoji.

    A text with an emoji after every word is readable, but the emoji split names, numbers and addresses into parts. The time is linear in
    the length.
    """
    source = text if copy is None else copy.text
    if source.isascii() or not _PICTURES.search(source):
        return copy
    kept: list[int] = []
    last = 0
    for match in _PICTURES.finditer(source):
        kept += range(last, match.start())
        last = match.end()
    kept += range(last, len(source))
    starts = kept if copy is None else [copy.starts[index] for index in kept]
    ends = [index + 1 for index in kept] if copy is None else [copy.ends[index] for index in kept]
    return Normalised(text="".join(source[index] for index in kept), starts=starts, ends=ends)
