"""Which words a verdict rests on: computed for alerting events only, off the hot path.

Every method is a pure function of the detector and the text, and sees the detector only through `score_many`. Weights are
differences in log-odds of the score (differences of probabilities vanish where a verdict is certain): positive words speak
for the verdict, negative ones against it.
"""

import heapq
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from detectors.base import TextDetector
from detectors.encoder import EncoderDetector

__all__ = ["Attribution", "Method", "explain"]

Method = Literal["auto", "occlusion", "shap", "lime"]
#: Start, end (exclusive; offsets into the raw text) and weight.
Attribution = tuple[int, int, float]

MOST_WORDS, OVERLAP = 120, 20
EVALUATIONS, BATCH = 256, 16
_WORD = re.compile(r"\S+")
# Priority, tie-breaker, start, end, the mask around the stretch, the value without and with it, its share.
_Node = tuple[float, int, int, int, NDArray[np.bool_], float, float, float]
# The log-odds of the words that masks (n, words) keep: (n,).
_Value = Callable[[NDArray[np.bool_]], NDArray[np.float64]]


def explain(detector: TextDetector[Any], text: str, *, method: Method = "auto", seed: int = 0) -> list[Attribution]:
    """Attribute a detector's score of one text to its words.

    Parameters
    ----------
    detector
        A loaded text detector.
    text
        The raw text.
    method
        ``occlusion``: one word left out at a time. ``shap``: Owen values over a binary partition of the text, which are
        Shapley values where only neighbours form coalitions (Lundberg's partition explainer; at most 256 scores).
        ``lime``: a ridge regression on 200 random maskings (Ribeiro et al., arXiv 1602.04938). ``auto``: ``shap`` where the
        encoder decided, ``occlusion`` for the cheap tier and other detectors.
    seed
        Of the maskings of ``lime``.

    Returns
    -------
    list of (start, end, weight)
        In the text's order; weights in log-odds. Of a text over 120 words the stretch of 120 that scores highest is
        attributed.

    Raises
    ------
    NotLoadedError
        ``load()`` was not called.
    ValueError
        No method has that name.
    """
    if method not in get_args(Method):
        raise ValueError(f"no method of explanation is named {method!r}: choose one of {', '.join(get_args(Method))}")
    spans = _stretch(detector, text, [match.span() for match in _WORD.finditer(text)])
    if not spans:
        return []

    def value(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        kept = [
            " ".join(text[start:end] for (start, end), keep in zip(spans, mask, strict=True) if keep) for mask in masks
        ]
        return _log_odds(detector, kept)

    if method == "lime":
        weights = _lime(value, len(spans), seed)
    elif method == "shap" or (method == "auto" and _by_encoder(detector, text)):
        weights = _owen(value, len(spans))
    else:
        weights = _occlusion(value, len(spans))
    return [(start, end, float(weight)) for (start, end), weight in zip(spans, weights, strict=True)]


def _by_encoder(detector: TextDetector[Any], text: str) -> bool:
    return isinstance(detector, EncoderDetector) and bool(detector.glance([text])[1][0])


def _log_odds(detector: TextDetector[Any], texts: Sequence[str]) -> NDArray[np.float64]:
    scores = np.clip([score.score for score in detector.score_many(texts)], 1e-6, 1 - 1e-6)
    odds: NDArray[np.float64] = np.log(scores / (1 - scores))
    return odds


def _stretch(detector: TextDetector[Any], text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the words of the stretch that scores highest, all of them where they are few."""
    if len(spans) <= MOST_WORDS:
        return spans
    cuts = [spans[at : at + MOST_WORDS] for at in range(0, len(spans) - OVERLAP, MOST_WORDS - OVERLAP)]
    odds = _log_odds(detector, [text[cut[0][0] : cut[-1][1]] for cut in cuts])
    return cuts[int(odds.argmax())]


def _occlusion(value: _Value, count: int) -> NDArray[np.float64]:
    masks = np.concatenate([np.ones((1, count), dtype=bool), ~np.eye(count, dtype=bool)])
    odds = value(masks)
    fall: NDArray[np.float64] = odds[0] - odds[1:]
    return fall


def _owen(value: _Value, count: int) -> NDArray[np.float64]:
    """Split stretches in halves, those that matter most first; what is left unsplit shares its value evenly."""
    nothing, everything = np.zeros(count, dtype=bool), np.ones(count, dtype=bool)
    base, top = value(np.stack([nothing, everything]))
    result = np.zeros(count)
    serial, spent = 0, 2
    heap: list[_Node] = []
    heapq.heappush(heap, (0.0, serial, 0, count, nothing, base, top, 1.0))
    while heap:
        taken: list[_Node] = []
        while heap and len(taken) < BATCH:
            node = heapq.heappop(heap)
            _, _, start, end, _, without, whole, share = node
            if end - start == 1 or spent >= EVALUATIONS:
                result[start:end] += share * (whole - without) / (end - start)
            else:
                taken.append(node)
                spent += 2
        if not taken:
            continue
        masks = []
        for _, _, start, end, around, _, _, _ in taken:
            middle = (start + end) // 2
            for part in (slice(start, middle), slice(middle, end)):
                mask = around.copy()
                mask[part] = True
                masks.append(mask)
        odds = value(np.stack(masks))
        for index, (_, _, start, end, around, without, whole, share) in enumerate(taken):
            middle = (start + end) // 2
            left, right = float(odds[2 * index]), float(odds[2 * index + 1])
            for low, high, mask, before, after in (
                (start, middle, around, without, left),
                (start, middle, masks[2 * index + 1], right, whole),
                (middle, end, around, without, right),
                (middle, end, masks[2 * index], left, whole),
            ):
                serial += 1
                node = (-abs(after - before) * share / 2, serial, low, high, mask, before, after, share / 2)
                heapq.heappush(heap, node)
    return result


def _lime(value: _Value, count: int, seed: int, samples: int = 200, ridge: float = 1.0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    masks = rng.random((samples, count)) < rng.uniform(0.3, 0.95, size=(samples, 1))
    masks[0] = True
    odds = value(masks)
    distance = 1 - np.sqrt(masks.mean(axis=1))  # cosine distance to the whole text
    near = np.exp(-(distance**2) / 0.25**2)
    inputs = np.column_stack([masks, np.ones(samples)]).astype(float)
    penalty = np.diag([*([ridge] * count), 0.0])
    solved: NDArray[np.float64] = np.linalg.solve(
        inputs.T @ (near[:, None] * inputs) + penalty, inputs.T @ (near * odds)
    )
    return solved[:count]
