"""Near duplicates among texts: MinHash finds candidates, and the exact Jaccard similarity decides.

Broder, On the Resemblance and Containment of Documents (1997). The hashes have a fixed seed and the decision is exact,
so the result depends on the texts and their order only.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scipy.cluster.hierarchy import DisjointSet

if TYPE_CHECKING:
    from datasketch import MinHash

_HASHES = 128
_SEED = 1
#: The minimum probability that a pair at the threshold becomes a candidate.
_RECALL = 0.999
#: Chinese, Japanese and Korean characters: each is a word, because their texts need no spaces.
_CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")
_SHINGLE = 3


def _word_triples(text: str) -> frozenset[str]:
    """Return the word triples of a text in lower case; a shorter text is one shingle."""
    words = _WORD.findall(text.lower())
    return frozenset(" ".join(words[row : row + _SHINGLE]) for row in range(max(1, len(words) - _SHINGLE + 1)))


def _rows(threshold: float) -> int:
    """Return the most rows in a band with which a pair at `threshold` becomes a candidate with probability `_RECALL`."""
    fits = [rows for rows in range(1, 33) if 1 - (1 - threshold**rows) ** (_HASHES // rows) >= _RECALL]
    return max(fits, default=1)


class NearDuplicates:
    """An index of texts with a Jaccard similarity of word triples of at least `threshold`, in (0, 1]."""

    def __init__(self, threshold: float) -> None:
        from datasketch import MinHash, MinHashLSH  # noqa: PLC0415 - an optional extra

        rows = _rows(threshold)
        self._threshold = threshold
        self._empty = MinHash(num_perm=_HASHES, seed=_SEED, scheme="affine32")
        self._index = MinHashLSH(num_perm=_HASHES, params=(_HASHES // rows, rows))
        self._known: list[tuple[int, frozenset[str]]] = []

    def find(self, text: str) -> int | None:
        """Return the number of the first added text that is similar to `text`, or None."""
        shingles = _word_triples(text)
        return self._find(shingles, self._hash(shingles))

    def add(self, number: int, text: str) -> int | None:
        """Return the number of the first added text that is similar to `text`; if there is none, add `text` as `number`."""
        shingles = _word_triples(text)
        hashed = self._hash(shingles)
        found = self._find(shingles, hashed)
        if found is None:
            self._insert(number, shingles, hashed)
        return found

    def insert(self, number: int, text: str) -> None:
        """Add `text` as `number`, also if an added text is similar: a third text can be similar to this one only."""
        shingles = _word_triples(text)
        self._insert(number, shingles, self._hash(shingles))

    def _insert(self, number: int, shingles: frozenset[str], hashed: "MinHash") -> None:
        self._index.insert(len(self._known), hashed)
        self._known.append((number, shingles))

    def _find(self, shingles: frozenset[str], hashed: "MinHash") -> int | None:
        for key in sorted(self._index.query(hashed)):
            number, others = self._known[key]
            if len(shingles & others) >= self._threshold * len(shingles | others):
                return int(number)
        return None

    def _hash(self, shingles: frozenset[str]) -> "MinHash":
        hashed = self._empty.copy()
        hashed.update_batch([shingle.encode() for shingle in sorted(shingles)])
        return hashed


def leaders(texts: Sequence[str], threshold: float) -> list[int]:
    """Return for each text the number of the first similar text, which is its own number if there is none before it."""
    index = NearDuplicates(threshold)
    seen: dict[str, int] = {}
    found: list[int] = []
    for number, text in enumerate(texts):
        if text not in seen:
            first = index.add(number, text)
            seen[text] = number if first is None else first
        found.append(seen[text])
    return found


def groups(texts: Sequence[str], keys: Sequence[str], threshold: float) -> list[list[int]]:
    """Return the numbers of the texts in groups that share a key or have similar texts."""
    found = DisjointSet(range(len(texts)))
    first: dict[str, int] = {}
    for row, number in enumerate(leaders(texts, threshold)):
        found.merge(row, number)
        found.merge(row, first.setdefault(keys[row], row))
    return [sorted(rows) for rows in found.subsets()]
