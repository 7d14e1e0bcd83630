"""The rows that a run trains on."""

import pytest
from support.gate_dataset import write_digests
from support.tiny_training import save_dataset

from stream.loop.training.errors import TrainingError
from stream.loop.training.rows import TRAIN_FILE, training_table


def test_a_damaged_file_is_named_at_once(tmp_path):
    """Another error ends the process without a reason, and a run starts such a process four times."""
    file = save_dataset(tmp_path) / TRAIN_FILE
    file.write_bytes(file.read_bytes()[:-100])
    write_digests(tmp_path)
    with pytest.raises(TrainingError, match=r"train\.parquet cannot be read \(ArrowInvalid\)"):
        training_table(tmp_path, "sft")


def test_rows_that_are_not_those_of_the_manifest_are_not_trained_on(tmp_path):
    """The version would name the dataset that was built, not the rows that it learned."""
    other = save_dataset(tmp_path / "other", 30) / TRAIN_FILE
    file = save_dataset(tmp_path / "dataset") / TRAIN_FILE
    assert len(training_table(file.parent, "sft")) == 24
    file.write_bytes(other.read_bytes())
    with pytest.raises(
        TrainingError, match=r"train\.parquet has the SHA-256 .* its manifest\.json says .*build the dataset"
    ):
        training_table(file.parent, "sft")
