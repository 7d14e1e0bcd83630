"""Repetition: answers that have gone round in circles, as small models and broken sampling make them.

Three readings of one text, the highest counts: the share of its tokens in loops (one sequence again and again, without a
break; Holtzman et al., The Curious Case of Neural Text Degeneration, arXiv 1904.09751), the share of its 8-grams that
stood earlier in it (rep-n of Welleck et al., arXiv 1908.04319), and how far it compresses, which also sees a loop with a
counter in it.
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
from detectors.errors import NotLoadedError
from detectors.normalise.unicode import without_surrogates

__all__ = ["RepetitionConfig", "RepetitionDetector"]

#: Tokens of the longest sequence whose loops are looked for; a longer one that comes back is seen by its 8-grams.
PERIODS = 64
#: A loop is a sequence that stands at least so often in a row, over at least so many tokens.
TIMES, TOKENS = 4, 24
GRAM = 8
#: An 8-gram share is told from so many of them on: a short refrain is no fault.
GRAMS = 48
#: Compressed over raw bytes: prose lies at .4 to .6, a loop with a counter below .1; told from so many bytes on.
LOOSE, TIGHT, BYTES = 0.2, 0.05, 1500
# Letters that are written without spaces stand alone, so does each character of what is too long for a word; a row of the
# same sign is one token, or a ruled line would be a loop.
_TOKEN = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]{25,}|[^\W_]+|([^\w\s]|_)\1{0,79}"
)

Tokens = NDArray[np.int64]


class RepetitionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the repetition detector.

    Attributes
    ----------
    threshold
        The share of a text that repeats itself from which on it is flagged.
    """

    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.5


class RepetitionDetector(TextDetector[RepetitionConfig]):
    """The share of a text that repeats itself; spans of type ``LOOP`` say where it goes round.

    Notes
    -----
    Linear in the length: 64 passes of numpy over the tokens. No weights.
    """

    name: ClassVar[str] = "repetition"
    version: ClassVar[str] = "1"
    config_type: ClassVar[type[msgspec.Struct]] = RepetitionConfig

    def __init__(self, config: RepetitionConfig | None = None) -> None:
        super().__init__(config)
        self._loaded = False

    def load(self) -> None:
        """Do nothing that takes time; see `TextDetector.load`."""
        self._loaded = True

    def score_many(self, texts: Sequence[str]) -> list[Score]:
        """Score each text; see `TextDetector.score_many`. An empty text scores 0."""
        if not self._loaded:
            raise NotLoadedError("repetition.score_many before load(): call load() once in the process that scores")
        return [self._score(text) for text in texts]

    def _score(self, text: str) -> Score:
        places = _places(text)
        if len(places) < TOKENS:
            return Score(score=0.0, label=OK, flagged=False)
        tokens = _numbered(text, places)
        looped = _looped(tokens)
        score = max(float(looped.mean()), _repeated_grams(tokens), _compressed(text))
        flagged = score >= self.config.threshold
        return Score(
            score=score, label="repetition" if flagged else OK, flagged=flagged, spans=tuple(_spans(looped, places))
        )


def _places(text: str) -> list[tuple[int, int]]:
    """Return where each token lies."""
    found: list[tuple[int, int]] = []
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        if end - start >= 25 and match[1] is None:
            found += [(index, index + 1) for index in range(start, end)]
        else:
            found.append((start, end))
    return found


def _numbered(text: str, places: Sequence[tuple[int, int]]) -> Tokens:
    """Return one number a token, the same for the same token in any case."""
    numbers: dict[str, int] = {}
    folded = text.lower() if len(text.lower()) == len(text) else text
    return np.array([numbers.setdefault(folded[start:end], len(numbers)) for start, end in places], dtype=np.int64)


def _looped(tokens: Tokens) -> NDArray[np.bool_]:
    """Return which tokens lie in a loop of any period."""
    inside = np.zeros(len(tokens), dtype=bool)
    for period in range(1, min(PERIODS, len(tokens) // TIMES) + 1):
        same = np.concatenate([[False], tokens[period:] == tokens[:-period], [False]])
        edges = np.flatnonzero(same[1:] != same[:-1])
        begins, ends = edges[::2], edges[1::2]
        for begin, end in zip(*_long(begins, ends, period), strict=True):
            inside[begin : end + period] = True
    return inside


def _long(begins: Tokens, ends: Tokens, period: int) -> tuple[list[int], list[int]]:
    """Return the runs that are loops: a run of ``n`` equal pairs covers ``n + period`` tokens."""
    covered = ends - begins + period
    kept = (covered >= TIMES * period) & (covered >= TOKENS)
    return begins[kept].tolist(), ends[kept].tolist()


def _repeated_grams(tokens: Tokens) -> float:
    """Return the share of 8-grams that stood earlier in the text."""
    count = len(tokens) - GRAM + 1
    if count < GRAMS:
        return 0.0
    rows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(tokens, GRAM))
    distinct = len(np.unique(rows.view(np.dtype((np.void, rows.dtype.itemsize * GRAM)))))
    return 1.0 - distinct / count


def _compressed(text: str) -> float:
    """Return how far the text compresses: 0 at ``LOOSE`` and above, 1 at ``TIGHT`` and below."""
    data = without_surrogates(text).encode()
    if len(data) < BYTES:
        return 0.0
    ratio = len(zlib.compress(data, 6)) / len(data)
    return min(1.0, max(0.0, (LOOSE - ratio) / (LOOSE - TIGHT)))


def _spans(looped: NDArray[np.bool_], places: Sequence[tuple[int, int]]) -> list[Span]:
    """Return one span for each stretch of tokens in loops."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], looped, [False]]).astype(np.int8))).tolist()
    return [
        Span(start=places[begin][0], end=places[end - 1][1], type="LOOP", score=1.0)
        for begin, end in zip(edges[::2], edges[1::2], strict=True)
    ]
