"""The study ``tiers``: the time saved, and the quality lost, by the linear model that runs before the shared encoder.

The study measures:

- speed and AUROC on a mix of 98 % ordinary and 2 % toxic prompts, and on sets that are hard for a linear model;
- recall on disguised texts;
- AUROC of the injection score and of the length alone, on texts of matched length.

Times are processor times of one thread. The mix has too few toxic texts for a precise AUROC. AUROC does not depend on
the share of toxic texts, so AUROC is measured with additional toxic texts.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.evaluate.examples import Example
from detectors.evaluate.metrics import auroc
from detectors.evaluate.progress import tracked
from detectors.evaluate.readers import ordinary_prompts
from detectors.evaluate.scoring import load_text, score_texts
from detectors.evaluate.studies.context import Row, StudyContext
from detectors.evaluate.studies.disguises import CYRILLIC, LEET, encoded, tagged
from detectors.text.shared_encoder import EncoderDetector

__all__ = ["DISGUISES", "cascade", "escalation_curve"]

TEXTS = 300
_PLAIN = frozenset({"davidson", "tox_nonfuzzed", "openai_moderation_half"})
_HARD = frozenset({"hatemojibuild", "toxigen", "edos", "own_contrast"})
_SHORT = 300
_SMALL = "abcdefghijklmnopqrstuvwxyz"
DISGUISES: Mapping[str, Callable[[str], str]] = {
    "homoglyphs": lambda text: text.translate(CYRILLIC),
    "zero width": "\u200b".join,
    "full width": lambda text: text.translate({ord(c): 0xFEE0 + ord(c) for c in _SMALL}),
    "tags": tagged,
    "leet": lambda text: text.translate(LEET),
    "spaced": lambda text: " ".join(".".join(word) if word.isalpha() else word for word in text.split()),
    "base64": encoded,
    "emoji": lambda text: " \U0001f600 ".join(text.split(" ")),
}
Floats = NDArray[np.float64]


def _load(name: str, **config: object) -> EncoderDetector:
    detector = load_text(name, **config)
    assert isinstance(detector, EncoderDetector)
    return detector


def _scores(detector: EncoderDetector, texts: Sequence[str]) -> tuple[Floats, float]:
    begun = time.process_time()
    scores = score_texts(detector, texts)
    return np.array([score.score for score in scores]), time.process_time() - begun


def escalation_curve(
    labels: NDArray[np.bool_], cheap: Floats, whole: Floats, high: float, mixed: int
) -> list[tuple[float, float, float]]:
    """Return a tuple for each lower limit: limit, share of texts that the encoder scores, AUROC of the cascade.

    The share is measured on the first ``mixed`` texts, and the AUROC on all texts.
    """
    rows: list[tuple[float, float, float]] = []
    for low in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0):
        escalated = (cheap >= low) & (cheap < (high if low else 1.01))
        area = auroc(list(labels), list(np.where(escalated, whole, cheap)))
        rows.append((low, float(escalated[:mixed].mean()), area))
    return rows


def _compared(texts: Sequence[str], labels: NDArray[np.bool_], data: str, more: Sequence[str] = ()) -> list[Row]:
    """Compare the linear model, the encoder and both together (cascade) for toxicity on the same texts.

    ``texts_a_second`` is per second of processor time. ``more`` contains toxic texts that count only for AUROC.
    """
    name, mixed = "toxicity", len(texts)
    cascade, whole, cheap = _load(name), _load(name, limits=(0.0, 1.0)), _load(name, limits=(1.0, 1.0))
    fast, fast_seconds = _scores(cheap, texts)
    slow, slow_seconds = _scores(whole, texts)
    # The engine has cached the outputs of these texts; with one more space they are computed again.
    cascade_seconds = _scores(cascade, [f"{text} " for text in texts])[1]
    fast, slow = np.append(fast, _scores(cheap, more)[0]), np.append(slow, _scores(whole, more)[0])
    escalated = cascade.screen([*texts, *more])[1]
    labels = np.append(labels, np.ones(len(more), dtype=bool))
    common = {"detector": name, "texts": mixed, "positive": int(labels.sum())}
    rows: list[Row] = [
        common
        | {"data": f"{data}: {kind}", "auroc": auroc(list(labels), list(scores)), "texts_a_second": mixed / seconds}
        for kind, scores, seconds in (
            ("cascade", np.where(escalated, slow, fast), cascade_seconds),
            ("encoder alone", slow, slow_seconds),
            ("cheap tier alone", fast, fast_seconds),
        )
    ]
    rows[0]["escalated"] = float(escalated[:mixed].mean())
    high = (cascade.config.limits or cascade.limits)[1]
    rows += [
        common | {"data": f"  {data}: low limit {low:g}", "escalated": share, "auroc": area}
        for low, share, area in escalation_curve(labels, fast, slow, high, mixed)
    ]
    return rows


def _disguised(study: StudyContext, name: str, texts: Sequence[str]) -> list[Row]:
    detector = _load(name)
    rows = []
    disguises: Mapping[str, Callable[[str], str]] = {"plain": str, **DISGUISES}
    for kind, disguise in tracked(study.progress, f"{name} in disguises", disguises.items()):
        flagged = [score.flagged for score in score_texts(detector, [disguise(text) for text in texts])]
        data = f"positives, {kind}"
        rows.append({"detector": name, "data": data, "texts": len(texts), "recall": float(np.mean(flagged))})
    return rows


def _of_matched_length(held: Sequence[Example], limit: int) -> list[Row]:
    """Return the AUROC of the injection score and of the length, on pairs (positive, negative) of similar length."""
    positive = sorted((e.text for e in held if e.labels[1] == 1), key=len)
    negative = sorted((e.text for e in held if e.labels[1] == 0), key=len)
    pairs: list[tuple[str, str]] = []
    for text in positive:
        nearest = min(negative, key=lambda other: abs(len(other) - len(text)))
        if abs(len(nearest) - len(text)) <= 0.1 * len(text):
            negative.remove(nearest)
            pairs.append((text, nearest))
    pairs = random.Random(0).sample(pairs, min(limit, len(pairs)))
    texts = [text for pair in pairs for text in pair]
    labels = [True, False] * len(pairs)
    scores, _ = _scores(_load("injection"), texts)
    return [
        {
            "detector": "injection",
            "data": f"{kind}, pairs of matched length",
            "texts": len(texts),
            "auroc": auroc(labels, values),
        }
        for kind, values in (("its score", list(scores)), ("length alone", [float(len(text)) for text in texts]))
    ]


def cascade(study: StudyContext) -> list[Row]:
    """Return the rows of the study, from the test split of the shared encoder's examples, at most 300 texts per row."""
    rng = random.Random(study.seed)
    study.progress("reading examples", 0, 0)
    held = [e for e in study.load_examples(study.data, study.seed) if e.split == "test"]
    prompts = [text for source, text in ordinary_prompts(study.data) if source == "mtbench"]
    prompts += [e.text for e in held if e.source in {"clinc", "halueval_question"}]
    rng.shuffle(held)
    toxic = [e.text for e in held if e.labels[0] == 1 and e.source in _PLAIN]
    hard = [e for e in held if e.labels[0] in (0, 1) and e.source in _HARD][:TEXTS]
    attacks = [e.text for e in held if e.labels[1] == 1]
    few = max(2, TEXTS // 50)
    mix = rng.sample(prompts, TEXTS - few) + toxic[:few]
    study.progress("comparing tiers", 0, 2)
    rows = _compared(mix, np.arange(TEXTS) >= TEXTS - few, "98 % ordinary, 2 % toxic", toxic[few:TEXTS])
    study.progress("comparing tiers", 1, 2)
    rows += _compared([e.text for e in hard], np.array([e.labels[0] == 1 for e in hard]), "hard sets")
    for name, positives in (("toxicity", toxic), ("injection", attacks)):
        rows += _disguised(study, name, [text for text in positives if len(text) < _SHORT][: TEXTS // 4])
    return rows + _of_matched_length(held, TEXTS // 3)
