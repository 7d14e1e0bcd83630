"""The rows that a run trains on."""

import pytest
from support.gate_dataset import write_digests
from support.tiny_training import save_dataset

from stream.errors import DatasetDamaged
from stream.loop.training.rows import training_table


def test_a_damaged_file_is_an_error_that_names_it(tmp_path):
    """Any other exception ends the process without a reason, and a run starts such a process four times."""
    file = save_dataset(tmp_path) / "train.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    write_digests(tmp_path)
    with pytest.raises(DatasetDamaged, match=r"train\.parquet cannot be read \(ArrowInvalid\)"):
        training_table(tmp_path, "sft")


def test_rows_that_differ_from_the_manifest_are_an_error(tmp_path):
    """Otherwise the version would name the dataset of the manifest and not the rows that it was trained on."""
    other = save_dataset(tmp_path / "other", 30) / "train.parquet"
    file = save_dataset(tmp_path / "dataset") / "train.parquet"
    assert len(training_table(file.parent, "sft")) == 24
    file.write_bytes(other.read_bytes())
    with pytest.raises(
        DatasetDamaged, match=r"train\.parquet has the SHA-256 .* its manifest\.json says .*build the dataset"
    ):
        training_table(file.parent, "sft")
