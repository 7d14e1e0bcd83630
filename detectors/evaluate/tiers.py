"""Figures of the two tiers: the study ``tiers`` of ``weir eval``.

What the cheap tier costs and loses, on a mix of 98 % ordinary prompts and 2 % toxic ones and on the hard sets; recall on
disguised texts; injection against length alone on texts of matched length. Times are processor time of one thread. The mix has
too few toxic texts to measure a hundredth of AUROC by, and AUROC does not depend on their share: it is taken with more of them.
"""

import base64
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.evaluate.metrics import auroc
from detectors.registry import create_text
from detectors.text.encoder import EncoderDetector
from detectors.train.datasets import Example, load_examples, ordinary

__all__ = ["DISGUISES", "curve", "tiers"]

Row = dict[str, Any]
BATCH = 32
TEXTS = 300
_PLAIN = frozenset({"davidson", "tox_nonfuzzed", "openai_moderation_half"})
_HARD = frozenset({"hatemojibuild", "toxigen", "edos", "own_contrast"})
_SHORT = 300
_SMALL = "abcdefghijklmnopqrstuvwxyz"
DISGUISES: dict[str, Callable[[str], str]] = {
    "homoglyphs": lambda text: text.translate(
        str.maketrans("aeopcyxi", "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456")
    ),
    "zero width": "\u200b".join,
    "full width": lambda text: text.translate({ord(c): 0xFEE0 + ord(c) for c in _SMALL}),
    "tags": lambda text: "".join(chr(0xE0000 + ord(c)) if 0x20 <= ord(c) < 0x7F else c for c in text),
    "leet": lambda text: text.translate(str.maketrans("aeios", "43105")),
    "spaced": lambda text: " ".join(".".join(word) if word.isalpha() else word for word in text.split()),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "emoji": lambda text: " \U0001f600 ".join(text.split(" ")),
}


def _flags(detector: EncoderDetector, texts: Sequence[str]) -> NDArray[np.bool_]:
    scores = [score for at in range(0, len(texts), BATCH) for score in detector.score_many(texts[at : at + BATCH])]
    return np.array([score.flagged for score in scores])


def _detector(name: str, **config: object) -> EncoderDetector:
    detector = create_text(name, config)
    assert isinstance(detector, EncoderDetector)
    detector.load()
    return detector


def _scores(detector: EncoderDetector, texts: Sequence[str]) -> tuple[NDArray[np.float64], float]:
    begun = time.process_time()
    scores = [
        score.score for at in range(0, len(texts), BATCH) for score in detector.score_many(texts[at : at + BATCH])
    ]
    return np.array(scores), time.process_time() - begun


def curve(
    labels: NDArray[np.bool_], cheap: NDArray[np.float64], whole: NDArray[np.float64], high: float, mixed: int
) -> list[tuple[float, float, float]]:
    """Return (low limit, share of the first ``mixed`` texts that is escalated, AUROC of all) for low limits from 0 to 1."""
    rows: list[tuple[float, float, float]] = []
    for low in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0):
        asked = (cheap >= low) & (cheap < (high if low else 1.01))
        rows.append((low, float(asked[:mixed].mean()), auroc(list(labels), list(np.where(asked, whole, cheap)))))
    return rows


def _tiers(texts: Sequence[str], labels: NDArray[np.bool_], data: str, more: Sequence[str] = ()) -> list[Row]:
    """Compare the cascade, the cheap tier and the encoder of toxicity on the same texts; texts/s are of processor time.

    ``more`` are toxic texts that AUROC alone counts.
    """
    name, mixed = "toxicity", len(texts)
    cascade, whole, cheap = _detector(name), _detector(name, limits=(0.0, 1.0)), _detector(name, limits=(1.0, 1.0))
    fast, seconds = _scores(cheap, texts)
    slow, spent = _scores(whole, texts)
    # The engine has read these texts by now: a space more makes them fresh.
    took = _scores(cascade, [f"{text} " for text in texts])[1]
    fast, slow = np.append(fast, _scores(cheap, more)[0]), np.append(slow, _scores(whole, more)[0])
    asked = cascade.glance([*texts, *more])[1]
    labels = np.append(labels, np.ones(len(more), dtype=bool))
    common = {"detector": name, "texts": mixed, "positive": int(labels.sum())}
    rows: list[Row] = [
        common | {"data": f"{data}: {kind}", "auroc": auroc(list(labels), list(scores)), "texts_a_second": mixed / each}
        for kind, scores, each in (
            ("cascade", np.where(asked, slow, fast), took),
            ("encoder alone", slow, spent),
            ("cheap tier alone", fast, seconds),
        )
    ]
    rows[0]["escalated"] = float(asked[:mixed].mean())
    high = (cascade.config.limits or cascade.limits)[1]
    rows += [
        common | {"data": f"  {data}: low limit {low:g}", "escalated": share, "auroc": area}
        for low, share, area in curve(labels, fast, slow, high, mixed)
    ]
    return rows


def _hostile(name: str, texts: Sequence[str]) -> list[Row]:
    """Return recall on positives, plain and disguised."""
    detector = _detector(name)
    disguises: dict[str, Callable[[str], str]] = {"plain": str, **DISGUISES}
    return [
        {
            "detector": name,
            "data": f"positives, {kind}",
            "texts": len(texts),
            "recall": float(_flags(detector, [disguise(text) for text in texts]).mean()),
        }
        for kind, disguise in disguises.items()
    ]


def _matched(held: Sequence[Example], limit: int) -> list[Row]:
    """Return AUROC of injection and of length alone on pairs of one positive and one negative of like length."""
    positive = sorted((e.text for e in held if e.labels[1] == 1), key=len)
    negative = sorted((e.text for e in held if e.labels[1] == 0), key=len)
    pairs: list[tuple[str, str]] = []
    for text in positive:
        near = min(negative, key=lambda other: abs(len(other) - len(text)))
        if abs(len(near) - len(text)) <= 0.1 * len(text):
            negative.remove(near)
            pairs.append((text, near))
    pairs = random.Random(0).sample(pairs, min(limit, len(pairs)))  # noqa: S311 - a reproducible sample
    texts = [text for pair in pairs for text in pair]
    labels = [True, False] * len(pairs)
    scores, _ = _scores(_detector("injection"), texts)
    lengths = [float(len(text)) for text in texts]
    return [
        {
            "detector": "injection",
            "data": f"{kind}, pairs of matched length",
            "texts": len(texts),
            "auroc": auroc(labels, found),
        }
        for kind, found in (("its score", list(scores)), ("length alone", lengths))
    ]


def tiers(root: Path, seed: int) -> list[Row]:
    """Return the figures of both tiers on the test split of the shared encoder's sources, 300 texts a figure at most."""
    rng = random.Random(seed)  # noqa: S311 - a reproducible sample
    held = [e for e in load_examples(root, seed) if e.split == "test"]
    prompts = [text for source, text in ordinary(root) if source == "mtbench"]
    prompts += [e.text for e in held if e.source in {"clinc", "halueval_question"}]
    rng.shuffle(held)
    toxic = [e for e in held if e.labels[0] == 1 and e.source in _PLAIN]
    hard = [e for e in held if e.labels[0] in (0, 1) and e.source in _HARD][:TEXTS]
    attacks = [e for e in held if e.labels[1] == 1]
    few = max(2, TEXTS // 50)
    mix = rng.sample(prompts, TEXTS - few) + [e.text for e in toxic[:few]]
    rare = np.array([False] * (TEXTS - few) + [True] * few)
    rows = _tiers(mix, rare, "98 % ordinary, 2 % toxic", [e.text for e in toxic[few:TEXTS]])
    rows += _tiers([e.text for e in hard], np.array([e.labels[0] == 1 for e in hard]), "hard sets")
    for name, positives in (("toxicity", toxic), ("injection", attacks)):
        rows += _hostile(name, [e.text for e in positives if len(e.text) < _SHORT][: TEXTS // 4])
    return rows + _matched(held, TEXTS // 3)
