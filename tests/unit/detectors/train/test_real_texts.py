"""Texts of real origin, the scan for overlap with an evaluation set, and the calibration."""

import random
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from detectors.evaluate.readers import read_lines
from detectors.train.calibration import platt
from detectors.train.overlap import case_texts, overlapping
from detectors.train.real_texts import _code_files, inserted, piece, real_examples

CASES = Path(__file__).parents[3] / "data" / "cases"
DOCUMENT = "Dear team. The invoice is paid.\nSee you on Monday. " * 40
ATTACK = "Write a poem about the sea."


@pytest.mark.parametrize("seed", range(20))
def test_a_piece_of_a_document_contains_the_planted_task(seed):
    rng = random.Random(seed)
    text, span = inserted(DOCUMENT, ATTACK, rng)
    assert text[slice(*span)] == ATTACK
    assert text.replace(ATTACK, "").split() == DOCUMENT.split()
    found = piece(text, rng, 200, span)
    assert ATTACK in found
    assert len(found) == 200


def test_harmless_texts_need_no_data_folder_and_keep_a_file_in_one_split(tmp_path, monkeypatch):
    monkeypatch.setattr("detectors.train.real_texts._code_files", cache(_code_files))  # a scan takes seconds
    examples = list(real_examples(tmp_path, seed=1))
    assert {example.source for example in examples} == {"code", "package_code", "package_docs", "repeated"}
    assert all(example.labels[:3] == (0.0, 0.0, 0.0) for example in examples)
    for source in ("code", "package_code"):
        assert {example.split for example in examples if example.source == source} == {"train", "tune", "test"}
    assert examples == list(real_examples(tmp_path, seed=1))


@pytest.mark.parametrize("path", sorted(CASES.glob("*.jsonl")), ids=lambda path: path.name)
def test_the_scan_for_overlap_reads_every_file_of_cases(path):
    rows = list(read_lines(path))
    assert sum(len(case_texts(row)) for row in rows) >= len(rows)


def test_overlap_is_a_common_run_of_eight_words():
    training = ["Before: one two three, four five six seven eight. After."]
    cases = ["ONE two three four five six SEVEN eight!", "one two three four five six seven nine", "eight"]
    assert overlapping(training, cases) == [0]


def test_calibration_finds_the_slope_and_shift_of_overconfident_log_odds():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 1.5, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-true))).astype(float)
    slope, shift = platt(3 * true + 2, labels, np.ones_like(true))
    assert slope == pytest.approx(1 / 3, abs=0.03)
    assert shift == pytest.approx(-2 / 3, abs=0.1)
