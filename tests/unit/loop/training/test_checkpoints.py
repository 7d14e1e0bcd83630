"""Checkpoints: the newest complete and verified checkpoint is used."""

import pytest

from stream.loop.training.checkpoints import newest_checkpoint, seal, step_of


def sealed(folder, step, *, key="k", seconds=1.0):
    draft = folder / "draft" / f"checkpoint-{step}"
    (draft / "nested").mkdir(parents=True)
    (draft / "weights").write_bytes(bytes([step]) * 100)
    (draft / "nested" / "state").write_text(str(step))
    (folder / "checkpoints").mkdir(exist_ok=True)
    seal(draft, folder / "checkpoints", key=key, seconds=seconds, numbers={"step": 1.0})
    return folder / "checkpoints" / draft.name


def test_the_newest_checkpoint_is_found_and_older_ones_are_deleted(tmp_path):
    for step in (5, 9, 10):
        sealed(tmp_path, step, seconds=step * 2.0)
    found = newest_checkpoint(tmp_path / "checkpoints", "k")
    assert (step_of(found.path), found.seconds) == (10, 20.0)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["checkpoint-10", "checkpoint-9"]


def test_the_later_steps_of_another_job_do_not_delete_a_new_checkpoint(tmp_path):
    """This occurs if the settings of a failed request are changed before it is resumed."""
    for step in (100, 200):
        sealed(tmp_path, step, key="before")
    for step in (5, 10):
        sealed(tmp_path, step)
        assert step_of(newest_checkpoint(tmp_path / "checkpoints", "k").path) == step
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["checkpoint-10", "checkpoint-5"]


def test_a_changed_missing_or_foreign_checkpoint_is_ignored(tmp_path):
    sealed(tmp_path, 1)
    (sealed(tmp_path, 2) / "nested" / "state").write_text("3")
    assert step_of(newest_checkpoint(tmp_path / "checkpoints", "k").path) == 1
    (tmp_path / "checkpoints" / "checkpoint-1" / "weights").unlink()
    assert newest_checkpoint(tmp_path / "checkpoints", "k") is None
    sealed(tmp_path, 3)
    assert newest_checkpoint(tmp_path / "checkpoints", "another job") is None
    (tmp_path / "checkpoints" / "checkpoint-9").mkdir()
    assert step_of(newest_checkpoint(tmp_path / "checkpoints", "k").path) == 3


@pytest.mark.parametrize("damage", [b"\0", b"\xff"])
def test_a_checkpoint_with_a_damaged_manifest_is_ignored(tmp_path, damage):
    sealed(tmp_path, 1)
    manifest = sealed(tmp_path, 2) / "weir-checkpoint.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"k"', b'"' + damage + b'"'))
    assert step_of(newest_checkpoint(tmp_path / "checkpoints", "k").path) == 1
    assert step_of(sealed(tmp_path, 3)) == 3


def test_a_checkpoint_whose_verification_failed_is_replaced(tmp_path):
    (sealed(tmp_path, 4) / "weights").write_bytes(b"")
    sealed(tmp_path, 4)
    assert step_of(newest_checkpoint(tmp_path / "checkpoints", "k").path) == 4
