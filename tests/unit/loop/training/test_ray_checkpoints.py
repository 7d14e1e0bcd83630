"""What a new driver takes over from the storage of a run on a Ray cluster."""

from pathlib import Path

import pytest

from stream.loop.training.checkpoints import describe
from stream.loop.training.ray_checkpoints import take_over

KEY, OTHER = "ab" * 32, "cd" * 32


def checkpoint(storage, folder, seconds, key=KEY):
    path = storage / folder / f"checkpoint_{seconds}"
    path.mkdir(parents=True)
    (path / "weights").write_bytes(b"%d" % seconds)
    describe(path, key=key, seconds=seconds, numbers={})
    return path


@pytest.fixture
def first():
    return f"{KEY[:16]}-1"


def weights(found):
    return (Path(found.checkpoint.path) / "weights").read_text()


def test_the_newest_checkpoint_is_copied_and_the_folders_of_earlier_drivers_are_deleted(tmp_path, first):
    for seconds, folder in ((3, first), (5, first), (4, f"{KEY[:16]}-2")):
        checkpoint(tmp_path, folder, seconds)
    found = take_over(str(tmp_path), KEY)
    assert [path.name for path in tmp_path.iterdir()] == [found.name]
    assert weights(found) == "5"
    again = take_over(str(tmp_path), KEY)
    assert again.name != found.name
    assert weights(again) == "5"


def test_half_a_checkpoint_and_half_a_list_of_checkpoints_are_not_used(tmp_path, first):
    checkpoint(tmp_path, first, 3)
    (checkpoint(tmp_path, first, 4) / "weights").write_bytes(b"")
    (checkpoint(tmp_path, first, 5) / "weights").unlink()
    (tmp_path / first / "checkpoint_6").mkdir()
    (tmp_path / first / "checkpoint_manager_snapshot.json").write_bytes(b"")
    assert weights(take_over(str(tmp_path), KEY)) == "3"


def test_other_jobs_are_left_alone(tmp_path, first):
    other = checkpoint(tmp_path, f"{OTHER[:16]}-1", 9, OTHER)
    foreign = checkpoint(tmp_path, first, 9, OTHER)
    found = take_over(str(tmp_path), KEY)
    assert found.checkpoint is None
    assert other.is_dir()
    assert not foreign.exists()


def test_the_first_driver_finds_nothing_in_a_storage_that_does_not_exist(tmp_path):
    assert take_over(str(tmp_path / "none"), KEY).checkpoint is None
