"""Datasets for the gate: rows as the curator writes them, in Parquet."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stream.files import file_digest
from stream.loop.dataset.rows import Turn
from stream.loop.gate.poisoning import DatasetRow

_GOODS = ("bread", "cake", "tea", "milk", "rice", "salt", "soap", "rope", "wool", "glue", "ink", "oil")
_VERBS = ("buy", "store", "carry", "wash", "weigh", "wrap")


def row(number: int, question: str, answer: str, **changes: Any) -> DatasetRow:
    """Return a correction by one of ten keys; `changes` replace columns."""
    columns: dict[str, Any] = {"label": None, "source": "correction", "principal": f"key{number % 10}"}
    columns |= changes
    return DatasetRow(id=f"r{number}", prompt=(Turn(role="user", content=question),), completion=answer, **columns)


def honest_rows(count: int = 72) -> list[DatasetRow]:
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


def write_dataset(folder: Path, train: Sequence[DatasetRow], held_out: Sequence[DatasetRow]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", train), ("eval", held_out)):
        table = pa.Table.from_pylist(
            [
                {
                    "id": one.id,
                    "kind": "sft" if one.label is None else "kto",
                    "prompt": [{"role": message.role, "content": message.content} for message in one.prompt],
                    "completion": one.completion,
                    "label": one.label,
                    "source": one.source,
                    "conversation": one.id,
                    "cluster": 0,
                    "principal": one.principal,
                }
                for one in rows
            ],
            schema=pa.schema(
                [
                    ("id", pa.string()),
                    ("kind", pa.string()),
                    ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
                    ("completion", pa.string()),
                    ("label", pa.bool_()),
                    ("source", pa.string()),
                    ("conversation", pa.string()),
                    ("cluster", pa.int64()),
                    ("principal", pa.string()),
                ]
            ),
        )
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    return write_digests(folder)


def write_digests(folder: Path, **manifest: Any) -> Path:
    """Write manifest.json with the digests of the Parquet files, and the fields `manifest`."""
    files = {path.name: file_digest(path) for path in folder.glob("*.parquet")}
    (folder / "manifest.json").write_text(json.dumps({"files": files} | manifest))
    return folder
