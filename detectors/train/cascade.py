"""Fit of the constants with which injection combines the log-odds of its encoder and of its second stage.

A logistic regression on both log-odds of the doubtful texts of the tune split, by authors on whose texts no stage was trained, with the weights of
`detectors.train.calibration`. So the combined log-odds have the calibration of the encoder's, and scores of the two kinds of text
are comparable.
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from detectors.models.multitask import TASKS
from detectors.models.second_stage import load_text_reader
from detectors.models.weight_files import WeightFile
from detectors.text.injection import DOUBTFUL, InjectionConfig, InjectionDetector
from detectors.train.averaged_training import Log
from detectors.train.calibration import balanced, few_of_each_source, fit_conflict, held_out, logistic

#: Maximum number of texts of a source, drawn at random.
TEXTS = 150
#: Added to the log-odds of a text that both stages have read. At the threshold, the sixth run then finds as many attacks as the fourth with .2, and flags
#: fewer harmless texts (docs/adr/0016-second-stage.md).
MARGIN = 0.35
#: Least, first and greatest value of each slope and of the shift.
RANGES = [(0.0, 0.5, 20.0), (0.0, 0.5, 20.0), (-30.0, -1.0, 30.0)]


def fit_combination(data: Path, out: Path, seed: int, *, log: Log) -> None:
    """Fit the combination for the second stage in ``out`` and the shipped encoder, and write it into ``out``."""
    task = TASKS.index("injection")
    examples = few_of_each_source(held_out(data, seed), task, TEXTS)
    detector = InjectionDetector(InjectionConfig(second_stage=False))
    detector.load()
    odds = detector.log_odds([example.text for example in examples])[0]
    labels = np.array([example.labels[task] for example in examples])
    weights = balanced(examples, labels)
    second = np.full(len(examples), np.nan)
    doubtful = np.flatnonzero(odds >= DOUBTFUL)
    detector.second = load_text_reader(WeightFile.own(out))
    second[doubtful], _ = detector.read_again([examples[i].text for i in doubtful.tolist()])
    read = np.flatnonzero(~np.isnan(second))
    inputs = np.stack([odds[read], second[read]], axis=1)
    slope, shift = detector.engine.calibration[task]
    first, own, constant = logistic(inputs, labels[read], weights[read], RANGES)
    combination = np.array([first / slope, own / slope, (constant + MARGIN - shift) / slope], np.float32)
    log(f"{len(read)} of {len(examples)} texts are read again: combination {combination.round(3).tolist()}")
    save_file({**load_file(out), "combination": combination}, out)
    detector.second = load_text_reader(WeightFile.own(out))
    conflict = fit_conflict(detector, examples, seed).astype(np.float32)
    conflict[-1] += MARGIN
    log(f"requests for a secret: slopes and shift {conflict.round(3).tolist()}")
    save_file({**load_file(out), "conflict": conflict}, out)
