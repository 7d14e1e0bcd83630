"""A copy of a text without emoji, with a map from offsets in the copy to offsets in the raw text.

A text with an emoji after every word is readable, but the emoji split names, numbers and addresses into parts.
"""

import re

from detectors.normalise.unicode import Normalised

__all__ = ["without_pictures"]

# Arrows to symbols, and the pictographic planes; one space after an emoji is removed with it.
_PICTURES = re.compile("[\u2190-\u2bff\U0001f000-\U0001faff]+ ?")


def without_pictures(text: str, copy: Normalised | None) -> Normalised | None:
    """Remove emoji from ``copy``, or from ``text`` if ``copy`` is None; return ``copy`` if there are no emoji.

    The time is linear in the length.
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
