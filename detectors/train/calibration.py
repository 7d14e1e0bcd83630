"""Calibration of the scores of the shared encoder's detectors: Platt scaling (Platt 1999) of the final log-odds.

The slope and the shift are fitted on the tune split. Every source has the same weight, and so has each class of a
source. Texts of templates are left out, because scores fitted on them are too confident for other texts. The result
is stored in the file of the encoder's weights, so that weights and calibration cannot be mixed up. The map is increasing,
so it changes no order of scores.

The constants with which injection scores a request beside a system prompt with a secret are stored there too. They are those of a logistic
regression on the readings of `detectors.text.system_rules`. Its texts are of the tune split, by authors on whose texts the encoder was not
trained: requests for the secret, harmless requests to the same assistants, and harmless texts of all other sources.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy.optimize import Bounds, minimize

from detectors.base import Turn
from detectors.evaluate.datasets import SHIPPED_SEED
from detectors.evaluate.examples import Example
from detectors.evaluate.scoring import load_text
from detectors.models.multitask import TASKS
from detectors.models.weight_files import WeightFile
from detectors.text.injection import InjectionDetector
from detectors.text.shared_encoder import EncoderDetector
from detectors.text.system_rules import guards_secret
from detectors.train.averaged_training import Log
from detectors.train.mixes import load_examples
from detectors.train.written_texts import guarded_pairs

#: Maximum number of texts of a source, drawn at random.
TEXTS = 80
#: Share of requests for the secret, by weight. Beside the system prompt, at the threshold .82, the score finds 70 % of the held-out
#: authors' requests and flags 5 % of the honest ones; the text alone 50 and 1 %. With .5, earlier weights found 4 points more of the
#: requests and flagged 2 points more of the honest ones.
PREVALENCE = 0.4
#: Weight of the squared slopes in the loss of the regression on these requests.
PENALTY = 0.01
Floats = NDArray[np.float64]


def platt(odds: Floats, labels: Floats, weights: Floats) -> tuple[float, float]:
    """Return the slope (at least .05) and the shift of the log-odds with the smallest weighted log loss."""
    slope, shift = logistic(odds[:, None], labels, weights, [(0.05, 1.0, 5.0), (-10.0, 0.0, 10.0)])
    return slope, shift


def logistic(
    inputs: Floats, labels: Floats, weights: Floats, ranges: Sequence[tuple[float, float, float]], penalty: float = 0.0
) -> list[float]:
    """Return a slope for each column of ``inputs``, (n, columns), and a shift, with the smallest loss.

    The loss is the weighted mean of the log loss, plus ``penalty`` times the sum of the squared slopes. ``ranges`` has the least, the first
    and the greatest value of each slope and of the shift.
    """
    lows, start, highs = map(np.array, zip(*ranges, strict=True))

    def loss(point: Floats) -> float:
        logits = inputs @ point[:-1] + point[-1]
        log_loss = (weights * (np.logaddexp(0.0, logits) - labels * logits)).sum() / weights.sum()
        return float(log_loss + penalty * (point[:-1] ** 2).sum())

    found: list[float] = minimize(loss, start, method="L-BFGS-B", bounds=Bounds(lows, highs)).x.tolist()
    return found


def held_out(data: Path, seed: int) -> list[Example]:
    """Return the texts of the tune split that no template makes, in random order."""
    held = [e for e in load_examples(data, SHIPPED_SEED) if e.split == "tune" and not e.source.startswith("own_")]
    random.Random(seed).shuffle(held)
    return held


def few_of_each_source(held: Sequence[Example], task: int, most: int) -> list[Example]:
    """Return the first texts of each source, at most ``most``, whose label of the task is known."""
    by_source: dict[str, list[Example]] = defaultdict(list)
    for example in held:
        if example.labels[task] in (0, 1) and len(by_source[example.source]) < most:
            by_source[example.source].append(example)
    return [example for part in by_source.values() for example in part]


def _load_detector(name: str, weights: Path) -> EncoderDetector:
    """Return a loaded detector with the encoder of the file ``weights``."""
    detector = load_text(name, weights=str(weights), weights_sha256=WeightFile.own(weights).digest)
    assert isinstance(detector, EncoderDetector)
    return detector


def calibrate(data: Path, out: Path, seed: int, *, log: Log) -> None:
    """Fit the calibration of the weights in ``out``, and their constants of requests for a secret; write both into this file."""
    held = held_out(data, seed)
    found = []
    for task, name in enumerate(TASKS):
        scored = few_of_each_source(held, task, TEXTS)
        odds = _load_detector(name, out).log_odds([example.text for example in scored])[0]
        labels = np.array([example.labels[task] for example in scored])
        weights = balanced(scored, labels)
        found.append(platt(odds, labels, weights))
        share = float((weights * labels).sum() / weights.sum())
        log(
            f"{name}: {len(scored)} texts of {len({e.source for e in scored})} sources, {share:.3f} positive by weight, slope {found[-1][0]:.3f}, "
            f"shift {found[-1][1]:.3f}"
        )
    injection = _load_detector("injection", out)
    assert isinstance(injection, InjectionDetector)
    conflict = fit_conflict(injection, held, seed)
    log(f"requests for a secret: slopes and shift {conflict.round(3).tolist()}")
    constants = {"calibration": np.array(found, np.float32), "conflict": conflict.astype(np.float32)}
    partial = out.with_suffix(".partial")
    save_file({**load_file(out), **constants}, partial)
    partial.replace(out)


def balanced(examples: Sequence[Example], labels: Floats) -> Floats:
    """Return weights with which each source has the same sum, and so has each class of a source."""
    sources = np.array([example.source for example in examples])
    weights = np.zeros(len(labels))
    for source in set(sources):
        own = sources == source
        for label in (known := set(labels[own])):
            here = own & (labels == label)
            weights[here] = 1.0 / here.sum() / len(known)
    return weights


def fit_conflict(detector: InjectionDetector, held: Sequence[Example], seed: int) -> Floats:
    """Return a slope for each reading, at least 0, and a shift, for `detectors.text.system_rules.conflict_log_odds`.

    ``held`` are examples of the tune split. Of a detector with a second stage, the texts count which it has read.
    """
    rng = random.Random(seed)
    rows = [one for one in guarded_pairs() if guards_secret([Turn(role="system", content=one[0])])]
    harmless = [e.text for e in held if e.labels[TASKS.index("injection")] == 0 == e.labels[-1]]
    systems = [system for system, _, _ in rows]
    rows += [(rng.choice(systems), text, 0.0) for text in rng.sample(harmless, min(len(rows), len(harmless)))]
    texts = [text for _, text, _ in rows]
    found = detector.conflict_readings(texts, detector.log_odds(texts)[0], [system for system, _, _ in rows])
    read = [row for row, readings in enumerate(found) if len(readings) == max(map(len, found))]
    labels = np.array([label for _, _, label in rows])
    weights = np.where(labels == 1, PREVALENCE / labels.sum(), (1 - PREVALENCE) / (1 - labels).sum())[read]
    inputs = np.array([found[row] for row in read])
    ranges = [(0.0, 0.5, 20.0)] * inputs.shape[1] + [(-30.0, -1.0, 10.0)]
    penalty = PENALTY / weights.sum()  # texts that were not read lower the sum of the weights, and not the penalty
    return np.array(logistic(inputs, labels[read], weights, ranges, penalty))
