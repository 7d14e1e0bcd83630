"""A linear model of hashed words, word pairs and character n-grams, which scores a text in tens of microseconds.

The linear model, which was trained to predict the encoder's scores (`detectors.train.linear_trainer`), decides the
clear cases; the encoder decides the rest (`detectors.text.shared_encoder`). Feature hashing (Weinberger et al., arXiv
0902.2206) needs no vocabulary. The polynomial hash of any substring is the difference of two prefix sums, so a few
numpy operations hash all texts of a batch.
"""

import re
from collections.abc import Sequence
from functools import cache

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_safetensors

from detectors.models.weight_files import LINEAR

BITS = 17
CHARACTERS = (3, 4, 5)
CHUNK, STRIDE = 400, 300
_FACTOR = 0x01000193
_WORD = re.compile(r"\w+|[^\w\s]")
_MIX = np.uint32(0x9E3779B1)


class Hashed(msgspec.Struct, frozen=True, kw_only=True):
    """Hashed features of a batch of texts, unordered: the hash bucket of each feature, and the index of its text."""

    buckets: NDArray[np.int32]
    owners: NDArray[np.int32]
    count: int

    def norms(self) -> NDArray[np.float64]:
        """Return 1 / sqrt(number of features) of each text, so that long texts do not get larger scores."""
        counts = np.bincount(self.owners, minlength=self.count)
        return 1.0 / np.sqrt(np.maximum(counts, 1))


def chunks(text: str) -> list[str]:
    """Cut a text into overlapping parts of 400 characters."""
    if len(text) <= CHUNK:
        return [text]
    return [text[start : start + CHUNK] for start in range(0, len(text) - CHUNK + STRIDE, STRIDE)]


@cache
def _powers(length: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    inverse = pow(_FACTOR, -1, 1 << 32)
    up, down = np.empty(length, np.uint32), np.empty(length, np.uint32)
    for array, base in ((up, _FACTOR), (down, inverse)):
        array[0] = 1
        array[1:] = base
        np.multiply.accumulate(array, out=array, dtype=np.uint32)
    return up, down


def hashed(texts: Sequence[str]) -> Hashed:
    """Return the features of texts, hashed into ``2 ** BITS`` buckets; the caller must cut long texts (`chunks`)."""
    rows = [" ".join(["", *_WORD.findall(text.lower()), ""]).encode("utf-8", "replace") for text in texts]
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    data = np.frombuffer(b"".join(rows), dtype=np.uint8)
    owner = np.repeat(np.arange(len(rows), dtype=np.int32), lengths)
    size = 1 << max(10, len(data).bit_length())
    up, down = _powers(size)
    prefix = np.zeros(len(data) + 1, np.uint32)
    np.cumsum((data.astype(np.uint32) + np.uint32(1)) * up[: len(data)], dtype=np.uint32, out=prefix[1:])
    letters = np.concatenate([[False], data != 32])  # every row begins and ends with a space
    firsts, lasts = np.flatnonzero(letters[1:] & ~letters[:-1]), np.flatnonzero(letters[:-1] & ~letters[1:])
    families: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = [(firsts, lasts), (firsts[:-1], lasts[1:])]
    for n in CHARACTERS:
        starts = np.arange(max(0, len(data) - n + 1))
        families.append((starts, starts + n))
    buckets: list[NDArray[np.int32]] = []
    owners: list[NDArray[np.int32]] = []
    for salt, (starts, ends) in enumerate(families):
        inside = owner[starts] == owner[ends - 1]
        begin, end = starts[inside], ends[inside]
        value = (prefix[end] - prefix[begin]) * down[begin]
        value = (value ^ (value >> np.uint32(15)) ^ np.uint32(salt * 0x85EBCA6B & 0xFFFFFFFF)) * _MIX
        value = (value ^ (value >> np.uint32(13))) * np.uint32(0xC2B2AE35)
        buckets.append((value >> np.uint32(32 - BITS)).astype(np.int32))
        owners.append(owner[begin])
    return Hashed(buckets=np.concatenate(buckets), owners=np.concatenate(owners), count=len(texts))


class Linear:
    """The linear model: weights by hash bucket and task, (2 ** BITS, tasks) in any float type, and bias, (tasks,)."""

    def __init__(self, weights: NDArray[np.float16], bias: NDArray[np.float32]) -> None:
        self._weights = np.ascontiguousarray(weights.T, dtype=np.float32)
        self._bias = bias.astype(np.float64)

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the log-odds, (texts, tasks); for a long text, the highest log-odds of its chunks."""
        return self.highest_logits([[text] for text in texts])

    def highest_logits(self, copies: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """Return the highest log-odds of the copies of each text, (texts, tasks); of a long copy, those of its chunks."""
        parts = [[chunk for copy in found for chunk in chunks(copy)] for found in copies]
        features = hashed([chunk for cut in parts for chunk in cut])
        norms = features.norms()
        result = np.empty((features.count, len(self._bias)))
        for task, weights in enumerate(self._weights):
            sums = np.bincount(features.owners, weights=weights[features.buckets], minlength=features.count)
            result[:, task] = sums * norms + self._bias[task]
        starts = np.cumsum([0, *(len(cut) for cut in parts[:-1])])
        highest: NDArray[np.float64] = np.maximum.reduceat(result, starts, axis=0)
        return highest


def load_linear() -> Linear:
    """Load the linear model with the pinned weights."""
    state = load_safetensors(LINEAR.read())
    return Linear(state["weights"], state["bias"])
