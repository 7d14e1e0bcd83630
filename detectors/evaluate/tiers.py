"""Figures of the two tiers: ``python -m detectors.evaluate.tiers --data ../shared/data``.

What the cheap tier costs and loses, on a mix of 98 % ordinary prompts and 2 % toxic ones and on the hard sets; recall on
disguised texts; injection against length alone on texts of matched length. Times are processor time of one thread.
"""

import argparse
import base64
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.encoder import EncoderDetector
from detectors.evaluate.metrics import auroc
from detectors.registry import create_text
from detectors.train.data import Example, load_examples, ordinary

__all__ = ["DISGUISES", "curve", "main"]

Row = dict[str, Any]
BATCH = 32
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
    labels: NDArray[np.bool_], cheap: NDArray[np.float64], whole: NDArray[np.float64], high: float
) -> list[tuple[float, float, float]]:
    """Return (low limit, share escalated, AUROC) for low limits from 0 to 1; scores are probabilities."""
    rows: list[tuple[float, float, float]] = []
    for low in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0):
        asked = (cheap >= low) & (cheap < (high if low else 1.01))
        rows.append((low, float(asked.mean()), auroc(list(labels), list(np.where(asked, whole, cheap)))))
    return rows


def _tiers(name: str, texts: Sequence[str], labels: NDArray[np.bool_], data: str) -> list[Row]:
    """Compare the cascade, the cheap tier and the encoder on the same texts."""
    cascade, whole, cheap = _detector(name), _detector(name, limits=(0.0, 1.0)), _detector(name, limits=(1.0, 1.0))
    fast, seconds = _scores(cheap, texts)
    begun, (_, asked) = time.process_time(), cascade.glance(texts)
    glanced = time.process_time() - begun
    slow, spent = _scores(whole, texts)
    both = np.where(asked, slow, fast)
    encoder = max(1e-9, spent - seconds)
    row = {
        "detector": name, "data": data, "texts": len(texts), "positive": int(labels.sum()),
        "auroc": {"cascade": auroc(list(labels), list(both)), "encoder": auroc(list(labels), list(slow)),
                  "cheap": auroc(list(labels), list(fast))},
        "escalated": float(asked.mean()), "texts_a_second": {"cheap": len(texts) / seconds, "encoder": len(texts) / spent},
        "curve": curve(labels, fast, slow, (cascade.config.limits or cascade.limits)[1]),
        "glance_us": glanced / len(texts) * 1e6, "encoder_ms": encoder / len(texts) * 1e3,
    }  # fmt: skip
    return [row]


def _fresh_speed(name: str, texts: Sequence[str]) -> float:
    """Return the cascade's texts per second on texts that the engine has not read yet."""
    _, seconds = _scores(_detector(name), [f"{text} " for text in texts])
    return len(texts) / seconds


def _hostile(name: str, texts: Sequence[str]) -> Row:
    """Return recall on positives, plain and disguised."""
    detector = _detector(name)
    found = {"plain": float(_flags(detector, texts).mean())}
    for kind, disguise in DISGUISES.items():
        found[kind] = float(_flags(detector, [disguise(text) for text in texts]).mean())
    return {"detector": name, "data": f"recall of {len(texts)} positives, disguised", "recall": found}


def _matched(held: Sequence[Example], limit: int) -> Row:
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
    return {
        "detector": "injection", "data": f"{len(pairs)} pairs of matched length",
        "auroc": auroc(labels, list(scores)), "auroc_of_length": auroc(labels, lengths),
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and print a JSON line a figure."""
    parser = argparse.ArgumentParser(prog="python -m detectors.evaluate.tiers", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder laid out like shared/data")
    parser.add_argument("--limit", type=int, default=300, help="texts a figure, at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rng = random.Random(options.seed)  # noqa: S311 - a reproducible sample
    held = [e for e in load_examples(options.data, options.seed) if e.split == "test"]
    prompts = [text for source, text in ordinary(options.data) if source == "mtbench"]
    prompts += [e.text for e in held if e.source in {"clinc", "halueval_question"}]
    rng.shuffle(held)
    toxic = [
        e for e in held if e.labels[0] == 1 and e.source in {"davidson", "tox_nonfuzzed", "openai_moderation_half"}
    ]
    hard = [
        e for e in held if e.labels[0] in (0, 1) and e.source in {"hatemojibuild", "toxigen", "edos", "own_contrast"}
    ]
    attacks = [e for e in held if e.labels[1] == 1]
    few = max(2, options.limit // 50)
    mix = rng.sample(prompts, options.limit - few) + [e.text for e in toxic[:few]]
    truth = np.array([False] * (options.limit - few) + [True] * few)
    rows: list[Row] = _tiers("toxicity", mix, truth, "mix: 98 % ordinary, 2 % toxic")
    rows[0]["texts_a_second"]["cascade"] = _fresh_speed("toxicity", mix)
    hard = hard[: options.limit]
    rows += _tiers("toxicity", [e.text for e in hard], np.array([e.labels[0] == 1 for e in hard]), "hard sets")
    rows.append(_hostile("toxicity", [e.text for e in toxic if len(e.text) < 300][: options.limit // 4]))
    rows.append(_hostile("injection", [e.text for e in attacks if len(e.text) < 300][: options.limit // 4]))
    rows.append(_matched(held, options.limit // 3))
    for row in rows:
        sys.stdout.write(json.dumps(row) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
