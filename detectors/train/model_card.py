"""The model card of trained weights (Mitchell et al., arXiv 1810.03993): data, training, metrics and limits."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from detectors.evaluate.datasets import UNTRAINED
from detectors.evaluate.provenance import DataFile
from detectors.train.trainers import Trainer

Row = Mapping[str, Any]
#: Sets and types with fewer texts are not listed among the `WORST` with the lowest metrics.
ENOUGH = 20
WORST = 5
COLUMNS = {
    "set": "set", "texts": "texts", "positive": "positive", "AUROC": "auroc", "F1": "f1", "macro-F1": "macro_f1", "recall": "recall",
    "precision": "precision", "flagged": "flagged", "ECE": "ece",
}  # fmt: skip
SPANS = {"set": "set", "texts": "texts", "F1": "f1", "F2": "f2", "recall": "recall", "precision": "precision"}


class TrainingResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one training run, and its provenance.

    ``rows`` contains the metrics of each detector (`detectors.evaluate.evaluation.Evaluated.row`). ``options`` contains
    for each detector the options that select these weights and the threshold.
    """

    name: str
    sha256: str
    size_bytes: int
    seed: int
    command: str
    at: str
    machine: str
    versions: Mapping[str, str]
    data: Sequence[DataFile]
    options: Mapping[str, Mapping[str, Any]]
    rows: Sequence[Row]


def model_card(result: TrainingResult, trainer: Trainer) -> str:
    """Return the model card of a training run as Markdown."""
    return (
        "\n".join([*_head(result, trainer), *_use(result), *_data(result), *_figures(result), *_fails(result, trainer)])
        + "\n"
    )


def _head(result: TrainingResult, trainer: Trainer) -> Iterator[str]:
    yield f"# Weights of {', '.join(trainer.detectors)}\n"
    yield f"`{trainer.weights}`, {result.size_bytes:,} bytes, SHA-256 `{result.sha256}`.\n"
    yield f"{trainer.card.recipe}\n"
    yield (
        f"Made by `{result.command}` with seed {result.seed}, begun {result.at}, on {result.machine}; "
        + ", ".join(f"{name} {version}" for name, version in result.versions.items())
        + ".\n"
    )


def _use(result: TrainingResult) -> Iterator[str]:
    yield "## Use\n"
    yield "In weir.toml; the digest is checked at load. Thresholds were chosen on the tune split, where the trainer has one.\n"
    yield "```toml"
    for name, options in result.options.items():
        yield f"[detectors.options.{name}]"
        yield from (f"{key} = {msgspec.json.encode(value).decode()}" for key, value in options.items())
    yield "```\n"


def _data(result: TrainingResult) -> Iterator[str]:
    yield "## Data\n"
    yield "The files under the data folder; sources and licences are in docs/detectors.md and `detectors/weights/encoder.json`.\n"
    yield "| File | Bytes | SHA-256 |\n|---|---|---|"
    yield from (f"| {file.file} | {file.size_bytes:,} | `{file.sha256}` |" for file in result.data)
    yield ""


def _figures(result: TrainingResult) -> Iterator[str]:
    yield "## Figures\n"
    measured = [row for row in result.rows if row["sets"] or row["ordinary"]]
    if not measured:
        yield "None: the data folder contains no set to measure on.\n"
        return
    yield "Held-out texts of the sources of training: data of another origin will give lower figures.\n"
    for row in measured:
        yield f"### {row['detector']}\n"
        yield from _table(COLUMNS, [one for one in row["sets"] if "positive" in one])
        yield from _table(SPANS, [{**one, **one["characters"]} for one in row["sets"] if "characters" in one])
        for one in row["ordinary"]:
            learned = row["detector"] == "pii" and one["source"] != UNTRAINED
            note = "; some were trained on as texts without personal data" if learned else ""
            yield f"- ordinary prompts, {one['source']}: {one['flagged']} of {one['texts']} flagged{note}"
        yield ""


def _table(columns: Mapping[str, str], rows: Sequence[Row]) -> Iterator[str]:
    if rows:
        yield f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"
        yield from (f"| {' | '.join(_cell(row.get(key)) for key in columns.values())} |" for row in rows)
        yield ""


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _fails(result: TrainingResult, trainer: Trainer) -> Iterator[str]:
    yield "## Where it fails\n"
    for row in result.rows:
        worst = sorted(_mistakes(row), key=lambda one: one[0])[:WORST]
        if worst:
            yield f"{row['detector']}, the lowest figures on held-out texts: {'; '.join(text for _, text in worst)}.\n"
    yield from (f"- {limit}" for limit in trainer.card.limits)


def _mistakes(row: Row) -> Iterator[tuple[float, str]]:
    """Yield (metric, sentence about the metric) for each set, group and span type with at least `ENOUGH` items.

    The metric is accuracy for sets and groups, and recall for span types.
    """
    for one in row["sets"]:
        parts = [(one["set"], one)] if "positive" in one else []
        parts += [(f"{one['set']}, {part['value']}", part) for rows in one.get("by", {}).values() for part in rows]
        for name, part in parts:
            if part["texts"] >= ENOUGH:
                yield part["accuracy"], f"{name} {part['accuracy']:.2f} of {part['texts']} right"
        for part in one.get("types", ()):
            if part["spans"] >= ENOUGH:
                yield part["recall"], f"{part['value']} {part['recall']:.2f} of {part['spans']:.0f} spans found"
