"""The rows of a dataset, in the form that trl reads."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets import Dataset

from stream.loop.training.errors import TrainingError

__all__ = ["training_rows"]

TRAIN_FILE = "train.parquet"
_COLUMNS = ["kind", "prompt", "completion", "label"]
#: KTO estimates its baseline from pairs of rows.
_LEAST = {"sft": 1, "kto": 2}


def training_rows(dataset: Path, method: str) -> Dataset:
    """Return the rows of a dataset's folder for `method`; ``sft`` reads corrected and approved answers only.

    For ``kto`` such an answer is a good answer. The rows are in memory: `datasets` would otherwise copy them to a cache
    outside of the stack's home.

    Raises TrainingError if there are too few rows.
    """
    table = pq.read_table(dataset / TRAIN_FILE, columns=_COLUMNS).to_pylist()
    rows = [_row(row, method) for row in table if method == "kto" or row["kind"] == "sft"]
    if len(rows) < _LEAST[method]:
        raise TrainingError(
            f"{dataset / TRAIN_FILE} has {len(rows)} rows for method {method}, the limit is {_LEAST[method]};"
            " build a dataset from a longer range, or choose another method ([tenants.NAME.loop.train] method)"
        )
    return Dataset.from_list(rows)


def _row(row: dict[str, Any], method: str) -> dict[str, Any]:
    prompt = [{"role": message["role"], "content": message["content"]} for message in row["prompt"]]
    made: dict[str, Any] = {
        "prompt": prompt,
        "completion": [{"role": "assistant", "content": row["completion"]}],
    }
    if method == "kto":
        made["label"] = row["label"] is not False
    return made
