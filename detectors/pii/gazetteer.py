"""Lists of frequent first names, last names and places, as hashes of their words in lower case.

Rare names consist of many word pieces, from which the token head cannot recognise a name. The lists say for each word
whether it is a known name. Many names are ordinary words too ("May", "Reading"), so the head decides by the context.
"""

import itertools
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

#: Lists of names; bit n of a code says that a word is in list n.
KINDS = ("first", "last", "place")
#: Number of codes.
CODES = 1 << len(KINDS)


def _hash(name: str) -> int:
    return zlib.crc32(name.lower().encode("utf-8", "replace"))


class Gazetteer:
    """Hashes of names, uint32 in ascending order, and the code of each hash, uint8."""

    def __init__(self, hashes: NDArray[np.uint32], codes: NDArray[np.uint8]) -> None:
        self.hashes, self.codes = hashes, codes

    @classmethod
    def of(cls, names: Mapping[str, Sequence[str]]) -> "Gazetteer":
        """Build a gazetteer from names by kind (one of `KINDS`); a name has one or two words."""
        found: dict[int, int] = {}
        for bit, kind in enumerate(KINDS):
            for name in names[kind]:
                found[_hash(name)] = found.get(_hash(name), 0) | 1 << bit
        hashes = sorted(found)
        return cls(np.array(hashes, dtype=np.uint32), np.array([found[one] for one in hashes], dtype=np.uint8))

    def lookup(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Return the code of each word of a text; both words of a known pair ("New York") have the code of the pair."""
        if not words:
            return np.zeros(0, dtype=np.int64)
        pairs = [f"{one} {other}" for one, other in itertools.pairwise(words)]
        wanted = np.array([_hash(name) for name in (*words, *pairs)], dtype=np.uint32)
        at = np.minimum(np.searchsorted(self.hashes, wanted), len(self.hashes) - 1)
        codes = np.where(self.hashes[at] == wanted, self.codes[at], 0).astype(np.int64)
        alone, paired = codes[: len(words)], codes[len(words) :]
        alone[:-1] |= paired
        alone[1:] |= paired
        return alone
