"""Splits of texts by clusters of near-duplicates, so that no copy of a training text is in the held-out splits.

The method is MinHash over word trigrams with banding (Broder 1997; Leskovec et al., Mining of Massive Datasets, 3.4):
two texts are in the same cluster if they have the same three hashes in at least one band. With 12 hashes, the
probability of this is .41 at a Jaccard similarity of .5, and .94 at a similarity of .8.
"""

import hashlib
import re
import zlib
from collections.abc import Sequence

import numpy as np

HASHES, ROWS = 12, 3
PRIME = (1 << 31) - 1
_WORD = re.compile(r"\w+")


def _shingles(text: str) -> np.ndarray:
    words = _WORD.findall(text.lower())
    grams = [" ".join(words[i : i + 3]) for i in range(max(1, len(words) - 2))]
    return np.fromiter((zlib.crc32(gram.encode()) for gram in set(grams)), dtype=np.int64) % PRIME


def clusters(texts: Sequence[str]) -> list[int]:
    """Return a cluster number for each text; near-duplicates have the same number."""
    rng = np.random.default_rng(7)
    factors = rng.integers(1, PRIME, size=(HASHES, 1))
    offsets = rng.integers(0, PRIME, size=(HASHES, 1))
    parent = list(range(len(texts)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    seen: dict[tuple[int, bytes], int] = {}
    for index, text in enumerate(texts):
        signature = ((factors * _shingles(text) + offsets) % PRIME).min(axis=1)
        for band in range(0, HASHES, ROWS):
            other = seen.setdefault((band, signature[band : band + ROWS].tobytes()), index)
            parent[root(index)] = root(other)
    return [root(index) for index in range(len(texts))]


def splits(texts: Sequence[str]) -> list[str]:
    """Return train (80 %), tune (10 %) or test (10 %) for each text; the texts of a cluster are in the same split."""
    # Byte 1 of the hash, because byte 0 selected the texts of one of the sets.
    buckets = [hashlib.sha256(texts[number].encode()).digest()[1] % 10 for number in clusters(texts)]
    return ["test" if bucket == 0 else "tune" if bucket == 1 else "train" for bucket in buckets]
