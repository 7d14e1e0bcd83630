"""Checkpoints that cannot be written or read."""

import pytest
import torch
from safetensors import SafetensorError

from detectors.errors import DataError
from detectors.train import averaged_training
from detectors.train.averaged_training import AveragedTraining


def trained(out):
    model = torch.nn.Linear(3, 1)
    training = AveragedTraining(model, out, average=0.9, task="a run")
    model(torch.ones(3)).backward()
    training.step(0.1)
    return training


@pytest.mark.parametrize("kept", [0, 40, 100])
def test_a_damaged_checkpoint_is_an_error_that_names_it(tmp_path, kept):
    checkpoint = tmp_path / "encoder.checkpoint.safetensors"
    training = trained(tmp_path / "encoder.safetensors")
    training.save()
    checkpoint.write_bytes(checkpoint.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"encoder.checkpoint.safetensors is damaged .*delete it"):
        training.resume(print)


def test_a_full_disk_is_an_error_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    checkpoint = tmp_path / "encoder.checkpoint.safetensors"
    training = trained(tmp_path / "encoder.safetensors")
    training.save()
    before = checkpoint.read_bytes()

    def full(*_):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(averaged_training, "save_file", full)
    with pytest.raises(DataError, match=r"No space left on device .*free space on the disk, then continue the run"):
        training.save()
    assert checkpoint.read_bytes() == before
