"""The rows that a run trains on."""

import pytest
from support.tiny_training import save_dataset

from stream.loop.training.errors import TrainingError
from stream.loop.training.rows import TRAIN_FILE, training_table


def test_a_damaged_file_is_named_at_once(tmp_path):
    """Another error ends the process without a reason, and a run starts such a process four times."""
    file = save_dataset(tmp_path) / TRAIN_FILE
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(TrainingError, match=r"train\.parquet cannot be read \(ArrowInvalid\)"):
        training_table(tmp_path, "sft")
