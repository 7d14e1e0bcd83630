"""The reason in the record of a run that failed on a full disk."""

import shutil

import pytest
from safetensors import SafetensorError

from stream.errors import DatasetDamaged
from stream.loop.training.__main__ import reason_of
from stream.loop.training.errors import TrainingError

NO_SPACE = "No space left on device"
#: Errors of safetensors, torch and the kernel from a run on a full tmpfs.
WRITING = [
    SafetensorError(f"Error while serializing: I/O error: {NO_SPACE} (os error 28)"),
    RuntimeError("[enforce fail at inline_container.cc] PytorchStreamWriter failed writing file"),
    OSError(28, NO_SPACE),
]


@pytest.mark.parametrize("error", WRITING, ids=lambda error: type(error).__name__)
def test_a_full_disk_is_the_reason_for_an_error_of_any_library(tmp_path, monkeypatch, error):
    """If a run has no reason, the trainer starts it again, up to three times."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=2**19))
    assert reason_of(error, tmp_path) == (
        f"0.5 MiB are free on the disk of {tmp_path}, which needs at least 64 MiB; free space on it ({type(error).__name__}: {error})"
    )
    for known in (TrainingError("the loss is nan"), DatasetDamaged("the rows differ")):
        assert reason_of(known, tmp_path) == str(known)


def test_another_error_has_its_own_reason_or_is_unexpected(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=2**40))
    assert reason_of(FileNotFoundError(2, "absent", "rows"), tmp_path) == "[Errno 2] absent: 'rows'"
    assert reason_of(RuntimeError("a fault"), tmp_path) is None
