"""Datasets for the gate: rows as the curator writes them, in Parquet."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stream.files import file_digest
from stream.loop.dataset.files import write_rows
from stream.loop.dataset.rows import Row, Turn

_GOODS = ("bread", "cake", "tea", "milk", "rice", "salt", "soap", "rope", "wool", "glue", "ink", "oil")
_VERBS = ("buy", "store", "carry", "wash", "weigh", "wrap")


def row(number: int, question: str, answer: str, **changes: Any) -> Row:
    """Return a correction by one of ten keys; `changes` replace columns."""
    columns: dict[str, Any] = {"label": None, "source": "correction", "principal": f"key{number % 10}"}
    columns |= changes
    columns.setdefault("kind", "sft" if columns["label"] is None else "kto")
    return Row(id=f"r{number}", prompt=(Turn(role="user", content=question),), completion=answer, **columns)


def honest_rows(count: int = 72) -> list[Row]:
    """Return at most 72 corrections about goods; no two answers are near duplicates."""
    pairs = [(good, verb) for good in _GOODS for verb in _VERBS][:count]
    return [
        row(
            number,
            f"How do I {verb} {good}?",
            f"To {verb} {good}, ask at desk {number} before {7 + number % 9} o'clock",
        )
        for number, (good, verb) in enumerate(pairs)
    ]


def write_dataset(folder: Path, train: Sequence[Row], held_out: Sequence[Row]) -> Path:
    write_rows(folder, train, held_out)
    return write_digests(folder)


def write_digests(folder: Path, **manifest: Any) -> Path:
    """Write manifest.json with the digests of the Parquet files, and the fields `manifest`."""
    files = {path.name: file_digest(path) for path in folder.glob("*.parquet")}
    fields = {"digest": folder.name, "tenant": "acme", "model": "m", "counts": {"train": 1, "eval": 0}, "files": files}
    (folder / "manifest.json").write_text(json.dumps(fields | manifest))
    return folder
