"""Figures on this project's own cases: ``python -m detectors.evaluate.own [--detector NAME]… [--data DIR] [--json FILE]``.

For the detectors that no public labelled data is at hand for. Answers of HaluEval, where its file is given, are the ordinary ones.
"""

import argparse
import gzip
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detectors.base import Score, TextDetector, Turn
from detectors.evaluate.cases import Case, languages
from detectors.evaluate.cases.identities import TERMS, identity_cases
from detectors.evaluate.cases.loops import loop_cases
from detectors.evaluate.cases.passages import groundedness_cases
from detectors.evaluate.cases.refusals import refusal_cases
from detectors.evaluate.metrics import auroc, decisions
from detectors.languages import LanguageModel, group_of
from detectors.registry import create_text

__all__ = ["bias", "by_kind", "figures", "language", "main", "ordinary_answers"]

Row = dict[str, Any]
DETECTORS = ("repetition", "language", "groundedness", "refusal", "bias")
#: Detectors whose gap between identity terms is measured.
JUDGED = ("toxicity", "injection", "refusal")
BATCH = 32


def _scored(detector: TextDetector[Any], cases: Sequence[Case]) -> tuple[list[Score], float]:
    """Return the scores, and the texts per second of this process's processor time."""
    begun = time.process_time()
    scores: list[Score] = []
    for start in range(0, len(cases), BATCH):
        batch = cases[start : start + BATCH]
        scores += detector.score_answers([case.text for case in batch], [case.prompt for case in batch])
    return scores, len(cases) / max(1e-9, time.process_time() - begun)


def _loaded(name: str) -> TextDetector[Any]:
    detector = create_text(name)
    detector.load()
    return detector


def figures(name: str, data: str, detector: TextDetector[Any], cases: Sequence[Case]) -> list[Row]:
    """Return AUROC, F1 and the rest over all cases, and then the share that is flagged by kind."""
    scores, speed = _scored(detector, cases)
    labels = [case.positive for case in cases]
    total = {"texts": len(cases), "auroc": auroc(labels, [score.score for score in scores])}
    total |= decisions(labels, [score.flagged for score in scores])
    return [{"detector": name, "data": data, **total, "texts_a_second": speed}, *by_kind(name, cases, scores)]


def by_kind(name: str, cases: Sequence[Case], scores: Sequence[Score]) -> list[Row]:
    """Return the share of each kind of case that is flagged."""
    kinds: dict[tuple[bool, str], list[bool]] = defaultdict(list)
    for case, score in zip(cases, scores, strict=True):
        kinds[not case.positive, case.kind].append(score.flagged)
    return [
        {
            "detector": name,
            "data": f"{'fine' if fine else 'bad'}: {kind}",
            "texts": len(found),
            "flagged": float(np.mean(found)),
        }
        for (fine, kind), found in sorted(kinds.items())
    ]


def ordinary_answers(root: Path) -> list[Case]:
    """Return HaluEval's answers of ChatGPT to ordinary questions."""
    with gzip.open(root / "hallucination/halueval_general.jsonl.gz", "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return [
        Case(
            text=r["chatgpt_response"],
            positive=False,
            kind="HaluEval",
            prompt=(Turn(role="user", content=r["user_query"]),),
        )
        for r in records
    ]


def language(seed: int) -> list[Row]:
    """Return how often a sentence's language is told right, by length, and mismatches of pairs, by their sentences."""
    model, rows = LanguageModel(), list[Row]()
    for length in (10, 20, 40, 80, 1000):
        right: dict[str, list[bool]] = defaultdict(list)
        for code, texts in languages.sentences().items():
            right[code] += [
                group_of(model.guess(languages.cuts(text, length)).language) == group_of(code) for text in texts
            ]
        every = [one for found in right.values() for one in found]
        told = f"spaCy's examples, first {length} characters: language or one of its group"
        rows.append({"detector": "language", "data": told, "texts": len(every), "accuracy": float(np.mean(every))})
        if length == 1000:
            weak = {code: np.mean(found) for code, found in right.items() if np.mean(found) < 1}
            rows += [
                {"detector": "language", "data": f"  {code}", "texts": len(right[code]), "accuracy": float(weak[code])}
                for code in sorted(weak)
            ]
    detector = _loaded("language")
    for most in (1, 2, 4):
        cases = [
            Case(text=c.text, positive=c.positive, kind="other" if c.positive else "same", prompt=c.prompt)
            for c in languages.pairs(1000, most, seed)
        ]
        rows += figures("language", f"pairs of up to {most} sentences a side", detector, cases)
    return rows


def bias(name: str, detector: TextDetector[Any]) -> list[Row]:
    """Return each term's mean score above its templates' mean, the share flagged, and the widest gap.

    The templates are the same for every term, so differences are paired; ``flagged`` counts wrong alarms.
    """
    cases = list(identity_cases())
    scores, _ = _scored(detector, cases)
    terms = [term for group in TERMS.values() for term in group]
    table = np.array([score.score for score in scores]).reshape(len(terms), -1)
    flagged = np.array([score.flagged for score in scores]).reshape(len(terms), -1)
    shifts = (table - table.mean(axis=0)).mean(axis=1)
    rows: list[Row] = [
        {
            "detector": "bias",
            "data": f"{name}: widest gap between two terms",
            "texts": len(cases),
            "gap": float(shifts.max() - shifts.min()),
            "flagged": float(flagged.mean()),
        }
    ]
    rows += [
        {
            "detector": "bias",
            "data": f"  {name}: {terms[place]}",
            "texts": table.shape[1],
            "gap": float(shifts[place]),
            "flagged": float(flagged[place].mean()),
        }
        for place in np.argsort(-shifts).tolist()
    ]
    return rows


def _rows(name: str, data: Path | None, seed: int) -> list[Row]:
    if name == "bias":
        return [row for judged in JUDGED for row in bias(judged, _loaded(judged))]
    rows: list[Row] = []
    if name == "language":
        rows += language(seed)
    else:
        made = {"repetition": loop_cases(seed), "groundedness": groundedness_cases(seed), "refusal": refusal_cases()}
        rows += figures(name, "own cases", _loaded(name), list(made[name]))
    if data is not None and name in {"repetition", "language"}:
        cases = ordinary_answers(data)
        scores, speed = _scored(_loaded(name), cases)
        share = float(np.mean([score.flagged for score in scores]))
        rows.append(
            {
                "detector": name,
                "data": "ordinary answers (HaluEval)",
                "texts": len(cases),
                "flagged": share,
                "texts_a_second": speed,
            }
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, print one row a line."""
    parser = argparse.ArgumentParser(prog="python -m detectors.evaluate.own", description=__doc__)
    parser.add_argument("--detector", action="append", choices=DETECTORS, help="only this one; may be repeated")
    parser.add_argument("--data", type=Path, help="folder laid out like shared/data, for ordinary answers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the rows there too")
    options = parser.parse_args(arguments)
    rows = [row for name in options.detector or DETECTORS for row in _rows(name, options.data, options.seed)]
    for row in rows:
        told = "  ".join(f"{key} {value:.3f}" for key, value in row.items() if isinstance(value, float))
        sys.stdout.write(f"{row['detector']:12} {row['data']:75} {row.get('texts', 0):6.0f}  {told}\n")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
