"""The numeric type and the device of the encoder: decided once for each deployment, so that a verdict does not depend on the worker."""

from pathlib import Path
from typing import Any

import msgspec

from detectors.errors import UnsupportedError
from detectors.models.compute import Compute, best_precision
from stream.files import FileLock, write_json
from weir.errors import SettingsError
from weir.settings import Settings


def compute_path(home: Path) -> Path:
    """Return the file with the decision of the deployment in `home`."""
    return home / "compute.json"


def decided(settings: Settings) -> Settings:
    """Return the settings with the decision in place of ``auto``, also as options of the text detectors that use the encoder.

    The decision is that in the home, or else the best for this machine. Raises SettingsError if the file is damaged.
    """
    from detectors.registry import TEXT  # noqa: PLC0415 - its libraries are an extra

    found = _decision(settings)
    chosen = {"precision": found.precision, "device": found.device}
    own: dict[str, dict[str, Any]] = {
        name: chosen | settings.detectors.options.get(name, {})
        for name, detector in TEXT.items()
        if chosen.keys() <= set(detector.config_type.__struct_fields__)
    }
    detectors = settings.detectors.model_copy(update={"options": {**settings.detectors.options, **own}})
    return settings.model_copy(update={"score": settings.score.model_copy(update=chosen), "detectors": detectors})


def save_decision(settings: Settings) -> None:
    """Store the best numeric type and device for this machine in the home, if the home has no decision yet.

    Raises SettingsError if this machine does not support the numeric type or the device of the deployment.
    """
    path = compute_path(settings.home)
    if not path.exists():
        with FileLock.acquire(path.with_name(".compute.lock")):  # of workers that start together, the first decides
            if not path.exists():
                best = _best()
                write_json(path, {"precision": best.precision, "device": best.device})
    try:
        _decision(settings).check()
    except UnsupportedError as error:
        raise SettingsError(str(error)) from error


def _decision(settings: Settings) -> Compute:
    score, path = settings.score, compute_path(settings.home)
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=Compute)
    except FileNotFoundError:
        stored = _best()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} is damaged ({error}); run `weir down`, delete the file, then run `weir up`"
        ) from error
    return Compute(
        precision=stored.precision if score.precision == "auto" else score.precision,
        device=stored.device if score.device == "auto" else score.device,
    )


def _best() -> Compute:
    return Compute(precision=best_precision(), device="cuda" if Path("/dev/nvidia0").exists() else "cpu")
