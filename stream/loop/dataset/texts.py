"""Cleaning of texts: placeholders for personal data, Unicode, and a few rules of quality."""

import re
import unicodedata
from collections.abc import Iterable

from detectors.base import Span as DetectedSpan
from detectors.normalise.unicode import without_surrogates
from stream.wire import Span

_CONTROL = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u200b\\u2060\\ufeff]")
_PLACEHOLDER = re.compile("<[A-Z]+(_[A-Z]+)*>")
_BLANK = re.compile(r"\n{3,}")
_LEAST_LINES = 4


def masked(text: str, spans: Iterable[Span | DetectedSpan]) -> str:
    """Replace each span by its type: ``<EMAIL_ADDRESS>``. Overlapping spans become one, with the type of the first."""
    pieces: list[str] = []
    position = 0
    for span in sorted(spans, key=lambda one: (one.start, -one.end, one.type)):
        if span.start >= position:
            pieces += [text[position : span.start], f"<{span.type}>"]
        position = max(position, span.end)
    return "".join([*pieces, text[position:]])


def has_placeholder(text: str) -> bool:
    """Whether a text has a placeholder of `masked`, or another word in capitals in angle brackets."""
    return _PLACEHOLDER.search(text) is not None


def normalised(text: str) -> str:
    """Return the text in NFC with line feeds as line breaks, without control characters and surrounding blanks."""
    text = unicodedata.normalize("NFC", without_surrogates(text)).replace("\r\n", "\n").replace("\r", "\n")
    lines = (line.rstrip() for line in _CONTROL.sub("", text).split("\n"))
    return _BLANK.sub("\n\n", "\n".join(lines)).strip()


def is_poor(answer: str) -> bool:
    """Whether an answer is no text to learn from: without letters or digits, damaged, or mostly one repeated line."""
    if not any(character.isalnum() for character in answer) or "\N{REPLACEMENT CHARACTER}" in answer:
        return True
    lines = [line for line in answer.split("\n") if line]
    return len(lines) >= _LEAST_LINES and len(set(lines)) * 2 < len(lines)
