"""Attribution of a text's score to its words, computed only for events that cause an alert.

Every method is a pure function of the detector and the text, and uses only log-odds of texts. `steps` is a generator
that yields the texts to score. The caller of `steps` decides when to score these texts, and can score traffic in
between. Weights are differences in log-odds, because differences of probabilities near 1 are almost 0. A word with a
positive weight raises the score.
"""

import heapq
import re
from collections.abc import Generator, Sequence
from typing import Any, Literal, NamedTuple, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.base import TextDetector
from detectors.text.shared_encoder import EncoderDetector

Method = Literal["auto", "occlusion", "shap", "lime"]

MOST_WORDS, OVERLAP = 120, 20
EVALUATIONS, BATCH, MASKINGS = 256, 16, 200
#: Maximum number of parts of a long text that the encoder scores; the linear model selects these parts.
STRETCHES = 16
#: A word; longer strings without a space are cut into several words, so that 120 words are never too long to score.
_WORD = re.compile(r"\S{1,40}")
_LEAST = 1e-6


class Attribution(NamedTuple):
    """The weight of a word in the score, in log-odds, and its offsets in the raw text (``end`` exclusive)."""

    start: int
    end: int
    weight: float


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Texts to score with the detector or, if ``cheap`` is true, only with its linear model."""

    texts: tuple[str, ...]
    cheap: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The log-odds of each text, and whether the first text (the original) is scored by the encoder."""

    odds: tuple[float, ...]
    encoder: bool


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """The score of a text and the weight of each of its words."""

    #: ``occlusion``, ``shap`` or ``lime``.
    method: str
    #: Scores of the empty text and of all words, in [0, 1]; the linear model's scores if it decided.
    base: float
    score: float
    #: In the order of the text.
    words: tuple[Attribution, ...]


Steps = Generator[Question, Answer, Explained]
# Yields questions; returns the log-odds, (n,), of the texts that n masks, (n, words), keep.
_Values = Generator[Question, Answer, NDArray[np.float64]]
# Priority, tie-breaker, start, end, the mask around the stretch, the value without and with it, its share.
_Node = tuple[float, int, int, int, NDArray[np.bool_], float, float, float]


def explain(detector: TextDetector[Any], text: str, *, method: Method = "auto") -> Explained:
    """Attribute a detector's score of one text to the text's words: run `steps` and score the texts that it requests.

    Raises NotLoadedError if ``load()`` was not called, and ValueError if the method is unknown.
    """
    asking = steps(text, method=method)
    try:
        question = next(asking)
        while True:
            question = asking.send(answer(detector, question))
    except StopIteration as done:
        found: Explained = done.value
        return found


def answer(detector: TextDetector[Any], question: Question) -> Answer:
    """Return the log-odds for a question of `steps`; ``cheap`` has no effect if the detector has no linear model."""
    encoder = False
    if isinstance(detector, EncoderDetector):
        odds, _ = detector.screen(question.texts)
        encoder = any(detector.slow(question.texts[:1]))
        if question.cheap:
            return Answer(odds=tuple(map(float, odds)), encoder=encoder)
    scores = np.clip([score.score for score in detector.score_many(question.texts)], _LEAST, 1 - _LEAST)
    return Answer(odds=tuple(map(float, np.log(scores / (1 - scores)))), encoder=encoder)


def steps(text: str, *, method: Method = "auto", evaluations: int = EVALUATIONS) -> Steps:
    """Attribute the score of one text to its words: yield each `Question`, receive its `Answer`, return `Explained`.

    Parameters
    ----------
    text
        The raw text.
    method
        - ``occlusion``: omits one word at a time.
        - ``shap``: Owen values over a binary partition of the text (Lundberg's partition explainer): Shapley values in
          which only neighbouring words form coalitions.
        - ``lime``: a ridge regression on 200 random maskings (Ribeiro et al., arXiv 1602.04938).
        - ``auto``: ``shap`` if the encoder scored the text; ``occlusion`` of the linear model's score if only this
          model scored the text; ``occlusion`` for detectors without the encoder.
    evaluations
        Maximum number of scores that ``shap`` requests.

    Raises ValueError if the method is unknown.

    Notes
    -----
    In a text of more than 120 words, only the 120 consecutive words with the highest score get weights.
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
        weights = yield from _lime(words)
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
    """Return the 120 consecutive words with the highest score, or all words if there are fewer."""
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
    """The words to explain; `values` requests the log-odds of texts that contain only some of these words."""

    def __init__(self, text: str, spans: Sequence[tuple[int, int]], *, cheap: bool) -> None:
        self.count = len(spans)
        self._cheap = cheap
        # A word keeps the spaces before it, because a detector reads them: two spaces can separate spaced-out words.
        ends = [end for _, end in spans]
        self._parts = [text[start:end] for start, end in zip([spans[0][0], *ends[:-1]], ends, strict=True)]

    def values(self, masks: NDArray[np.bool_]) -> _Values:
        """Request the log-odds of the text that each mask keeps."""
        texts = ["".join(part for part, keep in zip(self._parts, mask, strict=True) if keep).strip() for mask in masks]
        answered = yield Question(texts=tuple(texts), cheap=self._cheap)
        return np.array(answered.odds)


def _owen(words: _Words, base: float, top: float, evaluations: int) -> _Values:
    """Halve the part with the largest weight, repeatedly; the words of a part that is not halved share its weight."""
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


def _lime(words: _Words) -> _Values:
    count = words.count
    rng = np.random.default_rng(0)
    masks = rng.random((MASKINGS, count)) < rng.uniform(0.3, 0.95, size=(MASKINGS, 1))
    masks[0] = True
    odds = yield from words.values(masks)
    distance = 1 - np.sqrt(masks.mean(axis=1))  # cosine distance to the whole text
    near = np.exp(-(distance**2) / 0.25**2)
    inputs = np.column_stack([masks, np.ones(MASKINGS)]).astype(float)
    penalty = np.diag([*([1.0] * count), 0.0])
    solved: NDArray[np.float64] = np.linalg.solve(
        inputs.T @ (near[:, None] * inputs) + penalty, inputs.T @ (near * odds)
    )
    return solved[:count]
