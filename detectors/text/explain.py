"""Attribution of a verdict to words, computed only for events that alert.

Every method is a pure function of the detector and the text, and reads only log-odds of texts. `steps` yields questions and leaves it
to its caller when and where to answer them, so that a process that also scores traffic can answer them one by one. Weights are
differences in log-odds (differences of probabilities vanish for a certain verdict): a positive word raises the score.
"""

import heapq
import re
from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.base import TextDetector
from detectors.text.shared_encoder import EncoderDetector

__all__ = ["Answer", "Attribution", "Explained", "Method", "Question", "answer", "explain", "steps"]

Method = Literal["auto", "occlusion", "shap", "lime"]

MOST_WORDS, OVERLAP = 120, 20
EVALUATIONS, BATCH = 256, 16
#: Of a long text the detector itself reads so many stretches, at most; the cheap tier chooses them.
STRETCHES = 16
#: A word; what goes on without a space is cut, so that no part of a text is larger than 120 words.
_WORD = re.compile(r"\S{1,40}")
_LEAST = 1e-6


class Attribution(NamedTuple):
    """What a word did: start and end (exclusive; offsets into the raw text), and log-odds of the score."""

    start: int
    end: int
    weight: float


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Texts whose log-odds are wanted: the detector's, or those of its cheap tier alone."""

    texts: tuple[str, ...]
    cheap: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Log-odds by text, and whether the detector leaves the first text to its encoder."""

    odds: tuple[float, ...]
    encoder: bool


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """A score taken apart."""

    #: ``occlusion``, ``shap`` or ``lime``.
    method: str
    #: Of the words with none of them left, and of all of them, in [0, 1]; of the cheap tier where that decided.
    base: float
    score: float
    #: In the text's order.
    words: tuple[Attribution, ...]


Steps = Generator[Question, Answer, Explained]
# Asks for the log-odds of the words that masks (n, words) keep: (n,).
_Values = Generator[Question, Answer, NDArray[np.float64]]
# Priority, tie-breaker, start, end, the mask around the stretch, the value without and with it, its share.
_Node = tuple[float, int, int, int, NDArray[np.bool_], float, float, float]


def explain(detector: TextDetector[Any], text: str, *, method: Method = "auto", seed: int = 0) -> Explained:
    """Attribute a detector's score of one text to its words, here and now; see `steps`.

    Raises NotLoadedError if ``load()`` was not called; ValueError if the method is unknown.
    """
    asking = steps(text, method=method, seed=seed)
    try:
        question = next(asking)
        while True:
            question = asking.send(answer(detector, question))
    except StopIteration as done:
        found: Explained = done.value
        return found


def answer(detector: TextDetector[Any], question: Question) -> Answer:
    """Answer a question of `steps`; a detector without a cheap tier answers for it."""
    encoder = False
    if isinstance(detector, EncoderDetector):
        odds, unsure = detector.screen(question.texts)
        encoder = bool(unsure[:1].any())
        if question.cheap:
            return Answer(odds=tuple(map(float, odds)), encoder=encoder)
    scores = np.clip([score.score for score in detector.score_many(question.texts)], _LEAST, 1 - _LEAST)
    return Answer(odds=tuple(map(float, np.log(scores / (1 - scores)))), encoder=encoder)


def steps(text: str, *, method: Method = "auto", seed: int = 0, evaluations: int = EVALUATIONS) -> Steps:
    """Attribute a score of one text to its words; a generator of questions that returns what was found.

    Parameters
    ----------
    text
        The raw text.
    method
        ``occlusion``: one word left out at a time. ``shap``: Owen values over a binary partition of the text, which are
        Shapley values where only neighbours form coalitions (Lundberg's partition explainer).
        ``lime``: a ridge regression on 200 random maskings (Ribeiro et al., arXiv 1602.04938). ``auto``: ``shap`` where the
        encoder decided, ``occlusion`` for other detectors; where the cheap tier decided, occlusion of its score alone, which
        takes milliseconds.
    seed
        Of the maskings of ``lime``.
    evaluations
        Scores that ``shap`` asks for, at most.

    Raises
    ------
    ValueError
        The method is unknown.

    Notes
    -----
    Of a text over 120 words the stretch of 120 that scores highest is attributed.
    """
    if method not in get_args(Method):
        raise ValueError(f"method of explanation is {method!r}; use one of {', '.join(get_args(Method))}")
    spans = [match.span() for match in _WORD.finditer(text)]
    first = yield Question(texts=(text,), cheap=True)
    cheap = method == "auto" and not first.encoder
    if method == "auto":
        method = "shap" if first.encoder else "occlusion"
    if not spans:
        return Explained(method=method, base=0.0, score=0.0, words=())
    spans = yield from _stretch(text, spans, cheap=cheap)
    words = _Words(text, spans, cheap=cheap)
    ends = yield from words.values(np.stack([np.zeros(len(spans), dtype=bool), np.ones(len(spans), dtype=bool)]))
    base, top = map(float, ends)
    if method == "lime":
        weights = yield from _lime(words, seed)
    elif method == "shap":
        weights = yield from _owen(words, base, top, evaluations)
    else:
        weights = top - (yield from words.values(~np.eye(len(spans), dtype=bool)))
    found = tuple(Attribution(*span, float(weight)) for span, weight in zip(spans, weights, strict=True))
    return Explained(method=method, base=_probability(base), score=_probability(top), words=found)


def _probability(odds: float) -> float:
    return float(1.0 / (1.0 + np.exp(-odds)))


def _stretch(
    text: str, spans: list[tuple[int, int]], *, cheap: bool
) -> Generator[Question, Answer, list[tuple[int, int]]]:
    """Return the words of the stretch that scores highest, all of them where they are few."""
    if len(spans) <= MOST_WORDS:
        return spans
    cuts = [spans[at : at + MOST_WORDS] for at in range(0, len(spans) - OVERLAP, MOST_WORDS - OVERLAP)]
    texts = [text[cut[0][0] : cut[-1][1]] for cut in cuts]
    odds = np.array((yield Question(texts=tuple(texts), cheap=True)).odds)
    if cheap:
        return cuts[int(odds.argmax())]
    likely = np.sort(np.argsort(-odds, kind="stable")[:STRETCHES])
    read = yield Question(texts=tuple(texts[index] for index in likely))
    return cuts[int(likely[int(np.argmax(read.odds))])]


class _Words:
    """The words of a stretch, and the log-odds of some of them."""

    def __init__(self, text: str, spans: Sequence[tuple[int, int]], *, cheap: bool) -> None:
        self.count = len(spans)
        self._cheap = cheap
        # A word that was cut out of a longer one is put back without a space.
        joined = [start == end for (_, end), (start, _) in pairwise(spans)]
        self._parts = [
            ("" if glued else " ") + text[start:end]
            for glued, (start, end) in zip([False, *joined], spans, strict=True)
        ]

    def values(self, masks: NDArray[np.bool_]) -> _Values:
        """Ask for the log-odds of the words that each mask keeps."""
        texts = ["".join(part for part, keep in zip(self._parts, mask, strict=True) if keep).strip() for mask in masks]
        answered = yield Question(texts=tuple(texts), cheap=self._cheap)
        return np.array(answered.odds)


def _owen(words: _Words, base: float, top: float, evaluations: int) -> _Values:
    """Split stretches in halves, those that matter most first; what is left unsplit shares its value evenly."""
    result = np.zeros(words.count)
    serial, spent = 0, 2
    heap: list[_Node] = [(0.0, serial, 0, words.count, np.zeros(words.count, dtype=bool), base, top, 1.0)]
    while heap:
        taken: list[_Node] = []
        while heap and len(taken) < BATCH:
            node = heapq.heappop(heap)
            _, _, start, end, _, without, whole, share = node
            if end - start == 1 or spent >= evaluations:
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
        odds = yield from words.values(np.stack(masks))
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


def _lime(words: _Words, seed: int, samples: int = 200, ridge: float = 1.0) -> _Values:
    count = words.count
    rng = np.random.default_rng(seed)
    masks = rng.random((samples, count)) < rng.uniform(0.3, 0.95, size=(samples, 1))
    masks[0] = True
    odds = yield from words.values(masks)
    distance = 1 - np.sqrt(masks.mean(axis=1))  # cosine distance to the whole text
    near = np.exp(-(distance**2) / 0.25**2)
    inputs = np.column_stack([masks, np.ones(samples)]).astype(float)
    penalty = np.diag([*([ridge] * count), 0.0])
    solved: NDArray[np.float64] = np.linalg.solve(
        inputs.T @ (near[:, None] * inputs) + penalty, inputs.T @ (near * odds)
    )
    return solved[:count]
