"""Repetition detector: answers that repeat themselves, as small models and broken sampling produce them.

The score is the highest of three measures:

- the share of tokens in loops, which are sequences repeated without a break (Holtzman et al., arXiv 1904.09751);
- the share of 8-grams that occurred earlier in the text (rep-n of Welleck et al., arXiv 1908.04319);
- how well the text compresses, which also detects a loop with a counter in it.
"""

import re
import zlib
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors.base import OK, Score, Span, TextDetector
from detectors.normalise.unicode import without_surrogates

#: Maximum period of a loop, in tokens; the 8-grams detect longer loops.
PERIODS = 64
#: Minimum numbers of consecutive occurrences and of tokens of a loop.
TIMES, TOKENS = 4, 24
GRAM = 8
#: Minimum number of 8-grams of a text whose repeated share is measured: a short refrain is not an error.
GRAMS = 48
#: Compressed size / raw size (prose: .4 to .6, a loop with a counter: below .1), and minimum number of bytes to measure this ratio.
LOOSE, TIGHT, BYTES = 0.2, 0.05, 1500
# In scripts without spaces, and in strings too long for a word, each character is a token. A run of one sign is one
# token, because a line of dashes would otherwise be a loop.
_TOKEN = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]{25,}|[^\W_]+|([^\w\s]|_)\1{0,79}"
)

Tokens = NDArray[np.int64]


class RepetitionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the repetition detector.

    Attributes
    ----------
    threshold
        Texts with this score or a higher one are flagged.
    """

    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.5


class RepetitionDetector(TextDetector[RepetitionConfig]):
    """Detector whose score is the repeated share of a text; spans of type ``LOOP`` mark its loops.

    Notes
    -----
    The time is linear in the length: 64 numpy passes over the tokens. There are no weights.
    """

    name: ClassVar[str] = "repetition"
    version: ClassVar[str] = "1"
    config_type: ClassVar[type[msgspec.Struct]] = RepetitionConfig

    def score_many(self, texts: Sequence[str]) -> list[Score]:
        """Score each text; see `TextDetector.score_many`. An empty text scores 0."""
        self.check_loaded()
        return [self._score(text) for text in texts]

    def _score(self, text: str) -> Score:
        token_spans = _token_spans(text)
        if len(token_spans) < TOKENS:
            return Score(score=0.0, label=OK, flagged=False)
        tokens = _numbered(text, token_spans)
        looped = _looped(tokens)
        score = max(float(looped.mean()), _repeated_grams(tokens), _compressed(text))
        return Score.of(score, self.config.threshold, "repetition", spans=_spans(looped, token_spans))


def _token_spans(text: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        if end - start >= 25 and match[1] is None:
            found += [(index, index + 1) for index in range(start, end)]
        else:
            found.append((start, end))
    return found


def _numbered(text: str, token_spans: Sequence[tuple[int, int]]) -> Tokens:
    """Return a number per token; tokens that are equal or differ only in case have the same number."""
    numbers: dict[str, int] = {}
    folded = text.lower() if len(text.lower()) == len(text) else text
    return np.array([numbers.setdefault(folded[start:end], len(numbers)) for start, end in token_spans], dtype=np.int64)


def _looped(tokens: Tokens) -> NDArray[np.bool_]:
    """Return for each token whether it is part of a loop."""
    inside = np.zeros(len(tokens), dtype=bool)
    for period in range(1, min(PERIODS, len(tokens) // TIMES) + 1):
        same = np.concatenate([[False], tokens[period:] == tokens[:-period], [False]])
        edges = np.flatnonzero(same[1:] != same[:-1])
        begins, ends = edges[::2], edges[1::2]
        for begin, end in zip(*_long(begins, ends, period), strict=True):
            inside[begin : end + period] = True
    return inside


def _long(begins: Tokens, ends: Tokens, period: int) -> tuple[list[int], list[int]]:
    """Return the runs of equal pairs that are long enough for a loop.

    A run of n pairs of equal tokens at distance ``period`` covers n + period tokens.
    """
    covered = ends - begins + period
    kept = (covered >= TIMES * period) & (covered >= TOKENS)
    return begins[kept].tolist(), ends[kept].tolist()


def _repeated_grams(tokens: Tokens) -> float:
    count = len(tokens) - GRAM + 1
    if count < GRAMS:
        return 0.0
    rows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(tokens, GRAM))
    distinct = len(np.unique(rows.view(np.dtype((np.void, rows.dtype.itemsize * GRAM)))))
    return 1.0 - distinct / count


def _compressed(text: str) -> float:
    """Return how well the text compresses: 0 if compressed size / size is at least `LOOSE`, 1 if at most `TIGHT`."""
    data = without_surrogates(text).encode()
    if len(data) < BYTES:
        return 0.0
    ratio = len(zlib.compress(data, 6)) / len(data)
    return min(1.0, max(0.0, (LOOSE - ratio) / (LOOSE - TIGHT)))


def _spans(looped: NDArray[np.bool_], token_spans: Sequence[tuple[int, int]]) -> list[Span]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], looped, [False]]).astype(np.int8))).tolist()
    return [
        Span(start=token_spans[begin][0], end=token_spans[end - 1][1], type="LOOP", score=1.0)
        for begin, end in zip(edges[::2], edges[1::2], strict=True)
    ]
