"""The rows of a dataset, in the form that trl reads."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset

from stream.count_text import count_text
from stream.errors import DatasetDamaged
from stream.loop.dataset.checked_file import read_checked
from stream.loop.training.errors import TrainingError

TRAIN_FILE = "train.parquet"
#: The name under which the workers of Ray Train find the rows.
RAY_DATASET = "rows"
_COLUMNS = ["kind", "prompt", "completion", "label"]
#: KTO estimates its baseline from pairs of rows.
_LEAST = {"sft": 1, "kto": 2}


def training_table(dataset: Path, method: str) -> pa.Table:
    """Return the rows of a dataset's folder for `method`; ``sft`` reads corrected and approved answers only.

    Raises TrainingError if the file does not have the digest in the dataset's manifest, or has too few rows.
    """
    try:
        table = pq.read_table(io.BytesIO(read_checked(dataset / TRAIN_FILE)), columns=_COLUMNS)
    except DatasetDamaged as error:
        raise TrainingError(str(error)) from None
    except pa.ArrowException as error:
        raise TrainingError(
            f"{dataset / TRAIN_FILE} cannot be read ({type(error).__name__}); build the dataset again with `weir dataset build`"
        ) from None
    if method == "sft":
        table = table.filter(pc.equal(table["kind"], "sft"))
    if len(table) < _LEAST[method]:
        raise TrainingError(
            f"{dataset / TRAIN_FILE} has {count_text(len(table), 'row')} for method {method}, the minimum is {_LEAST[method]};"
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
