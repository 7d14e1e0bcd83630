"""Figures of the text detectors."""

import gzip
import json
import math
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectors.base import Score, Span, TextDetector
from detectors.evaluate.metrics import f_beta, span_counts, summary
from detectors.registry import create_text
from detectors.train.data import TASKS, Example, load_examples, ordinary

__all__ = ["Row", "classifiers", "pii", "pii_types"]

Row = dict[str, Any]
BATCH = 32

#: presidio-research's types, as Presidio's recognisers name them; the others are not looked for by this detector.
PII_TYPES = {
    "PERSON": "PERSON",
    "GPE": "LOCATION",
    "LOCATION": "LOCATION",
    "ADDRESS": "LOCATION",
    "STREET_ADDRESS": "LOCATION",
    "ORGANIZATION": "ORGANIZATION",
    "CREDIT_CARD": "CREDIT_CARD",
    "IBAN_CODE": "IBAN_CODE",
    "US_SSN": "US_SSN",
    "EMAIL_ADDRESS": "EMAIL_ADDRESS",
    "PHONE_NUMBER": "PHONE_NUMBER",
    "IP_ADDRESS": "IP_ADDRESS",
    "DOMAIN_NAME": "URL",
    "DATE_TIME": "DATE_TIME",
    "NRP": "NRP",
    "US_DRIVER_LICENSE": "US_DRIVER_LICENSE",
}


def _scored(detector: TextDetector[Any], texts: Sequence[str]) -> tuple[list[Score], float]:
    """Return the scores, and the texts per second of this process's processor time (the machine may be busy)."""
    begun = time.process_time()
    scores = [s for i in range(0, len(texts), BATCH) for s in detector.score_many(texts[i : i + BATCH])]
    return scores, len(texts) / max(1e-9, time.process_time() - begun)


def _ordinary_rates(detector: TextDetector[Any], root: Path, limit: int, seed: int) -> dict[str, float]:
    """Return the share of ordinary prompts that is flagged, by source."""
    by_source: dict[str, list[str]] = defaultdict(list)
    for source, text in ordinary(root):
        by_source[source].append(text)
    rates: dict[str, float] = {}
    for source, texts in by_source.items():
        rng = random.Random(seed)  # noqa: S311 - a reproducible sample
        scores, _ = _scored(detector, rng.sample(texts, min(limit, len(texts))))
        rates[source] = sum(score.flagged for score in scores) / len(scores)
    return rates


def classifiers(root: Path, limit: int, seed: int, names: Sequence[str]) -> list[Row]:
    """Return a row for each classifier and test source; ``limit`` is the number of texts a source, at most."""
    held_out = [example for example in load_examples(root, seed) if example.split == "test"]
    rows: list[Row] = []
    for name in (name for name in TASKS if name in names):
        detector = create_text(name)
        detector.load()
        by_source: dict[str, list[Example]] = defaultdict(list)
        for example in held_out:
            by_source[example.source].append(example)
        sample = [example for group in by_source.values() for example in group[:limit]]
        rows += _classifier(detector, sample, TASKS.index(name))
        rates = _ordinary_rates(detector, root, limit, seed)
        rows += [{"detector": name, "data": f"ordinary: {source}", "flagged": rate} for source, rate in rates.items()]
    return rows


def _classifier(detector: TextDetector[Any], examples: Sequence[Example], task: int) -> list[Row]:
    known = [example for example in examples if not math.isnan(example.labels[task])]
    scores, speed = _scored(detector, [example.text for example in known])
    positive_sources = {example.source for example in known if example.labels[task] == 1}
    groups: dict[str, list[int]] = {"all of the test split": list(range(len(known)))}
    for source in sorted(positive_sources | {example.source for example in known if example.source.startswith("own")}):
        groups[source] = [index for index, example in enumerate(known) if example.source == source]
    rows: list[Row] = []
    for group, indices in groups.items():
        labels = [known[index].labels[task] == 1 for index in indices]
        values, flagged = [scores[index].score for index in indices], [scores[index].flagged for index in indices]
        figures = summary(labels, values, flagged) | {"flagged": sum(flagged) / max(1, len(flagged))}
        rows.append(
            {"detector": detector.name, "data": group, **figures, **({"texts_a_second": speed} if not rows else {})}
        )
    return rows


def _presidio(root: Path, limit: int, seed: int) -> list[tuple[str, list[Span]]]:
    records = json.loads(gzip.decompress((root / "pii/presidio_generated_large.json.gz").read_bytes()))
    rng = random.Random(seed)  # noqa: S311 - a reproducible sample
    return [
        (
            record["full_text"],
            [
                Span(start=s["start_position"], end=s["end_position"], type=s["entity_type"], score=1.0)
                for s in record["spans"]
            ],
        )
        for record in rng.sample(records, min(limit, len(records)))
    ]


def pii(root: Path, limit: int, seed: int) -> list[Row]:
    """Return characters found (any type) and ordinary prompts flagged, with and without named entities."""
    rows: list[Row] = []
    records = _presidio(root, limit, seed)
    for entities in (True, False):
        detector = create_text("pii", {"entities": entities})
        detector.load()
        scores, speed = _scored(detector, [text for text, _ in records])
        hits = found = wanted = 0
        for (_, truth), score in zip(records, scores, strict=True):
            mine = {i for span in score.spans for i in range(span.start, span.end)}
            theirs = {i for span in truth for i in range(span.start, span.end)}
            hits, found, wanted = hits + len(mine & theirs), found + len(mine), wanted + len(theirs)
        data = "presidio-research, characters" + ("" if entities else ", patterns only")
        figures = {"f1": f_beta(hits, found, wanted), "f2": f_beta(hits, found, wanted, 2.0)}
        figures |= {"precision": hits / max(1, found), "recall": hits / max(1, wanted)}
        rows.append({"detector": "pii", "data": data, "texts": len(records), **figures, "texts_a_second": speed})
        if entities:
            rows += pii_types(records, scores)
            rates = _ordinary_rates(detector, root, limit, seed)
            rows += [
                {"detector": "pii", "data": f"ordinary: {source}", "flagged": rate} for source, rate in rates.items()
            ]
    return rows


def pii_types(records: Sequence[tuple[str, list[Span]]], scores: Sequence[Score]) -> list[Row]:
    """Return typed spans (overlap of at least one half) by type."""
    rows: list[Row] = []
    for kind in sorted({span.type for _, truth in records for span in truth}):
        ours = PII_TYPES.get(kind)
        hits = found = wanted = 0
        for (_, truth), score in zip(records, scores, strict=True):
            mine = [span for span in score.spans if span.type == ours]
            counts = span_counts(mine, [span for span in truth if span.type == kind])
            same = sum(PII_TYPES.get(span.type) == ours for span in truth) - counts[2]
            hits, found, wanted = hits + counts[0], found + max(counts[0], counts[1] - same), wanted + counts[2]
        rows.append(
            {
                "detector": "pii",
                "data": f"{kind} as {ours}" if ours else f"{kind} (not looked for)",
                "positive": float(wanted),
                "f1": f_beta(hits, found, wanted),
                "recall": hits / max(1, wanted),
            }
        )
    return rows
