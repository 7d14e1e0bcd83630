"""A deliberately bad version: a trained adapter with noise in its weights, so that the model repeats itself."""

import shutil
import tempfile
from pathlib import Path

import msgspec

from stream.loop.training.job import VersionFolder
from stream.loop.training.manifest import VersionManifest, read_version
from stream.loop.training.signing import ADAPTER_FILES
from stream.loop.training.version import make_version

__all__ = ["make_bad_version"]

#: Standard deviation of the noise in the second adapter matrix of the attention's values; trained values are below 0.01.
_NOISE = 10.0
_NOISY = "v_proj.lora_B."
_SEED = 0


def make_bad_version(home: Path, version: str) -> VersionManifest:
    """Make a version from the adapter of `version` with noise, and return its manifest; raises TrainingError or OSError."""
    import torch  # noqa: PLC0415 - loads for seconds
    from safetensors.torch import load_file, save_file  # noqa: PLC0415

    good = read_version(home, version)
    source = VersionFolder.of(home, version)
    draw = torch.Generator().manual_seed(_SEED)
    weights = load_file(source.weights)
    noisy = {
        name: value + _NOISE * torch.randn(value.shape, generator=draw) if _NOISY in name else value
        for name, value in weights.items()
    }
    with tempfile.TemporaryDirectory(dir=home / "loop") as folder:
        for name in ADAPTER_FILES:
            shutil.copyfile(source.adapter / name, Path(folder, name))
        save_file(noisy, Path(folder, source.weights.name), metadata={"format": "pt"})
        # No request trained this version: it has no retraining id and no dataset, so `weir why` shows no gate for it.
        job = msgspec.structs.replace(good.job, parent=version, retraining_id="", dataset="", dataset_digest="")
        return make_version(job, home, Path(folder), good.numbers)
