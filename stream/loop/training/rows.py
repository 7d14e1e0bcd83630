"""The rows of a dataset, in the form that trl reads."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from stream.count_text import count_text
from stream.loop.dataset.files import read_table
from stream.loop.training.errors import TrainingError

#: The name under which the workers of Ray Train find the rows.
RAY_DATASET = "rows"
_COLUMNS = ["kind", "prompt", "completion", "label"]
#: KTO estimates its baseline from pairs of rows.
_LEAST = {"sft": 1, "kto": 2}


def training_table(dataset: Path, method: str) -> pa.Table:
    """Return the rows of a dataset's folder for `method`; ``sft`` reads corrected and approved answers only.

    Raises DatasetDamaged, and TrainingError if there are too few rows.
    """
    table = read_table(dataset, "train", _COLUMNS)
    if method == "sft":
        table = table.filter(pc.equal(table["kind"], "sft"))
    if len(table) < _LEAST[method]:
        raise TrainingError(
            f"{dataset} has {count_text(len(table), 'row')} to train on for method {method}, the minimum is {_LEAST[method]};"
            " build a dataset from a longer range, or choose another method ([tenants.NAME.loop.train] method)"
        )
    return table


def training_rows(table: pa.Table, method: str) -> Dataset:
    """Return the rows of :func:`training_table` for trl; for ``kto`` a corrected or approved answer is a good answer.

    The rows are in memory: `datasets` would otherwise copy them to a cache outside of the stack's home.
    """
    return Dataset.from_list([_row(row, method) for row in table.to_pylist()])


def _row(row: dict[str, Any], method: str) -> dict[str, Any]:
    prompt = [{"role": message["role"], "content": message["content"]} for message in row["prompt"]]
    made: dict[str, Any] = {
        "prompt": prompt,
        "completion": [{"role": "assistant", "content": row["completion"]}],
    }
    if method == "kto":
        made["label"] = row["label"] is not False
    return made
