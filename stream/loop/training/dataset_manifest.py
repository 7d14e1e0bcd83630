"""The fields of a dataset's manifest that training reads. The imports are few, for the trainer."""

from pathlib import Path

import msgspec

from stream.loop.settings import DatasetSettings
from stream.loop.training.errors import TrainingError


class _Counts(msgspec.Struct, frozen=True, kw_only=True):
    train: int
    eval: int
    dropped: dict[str, int] = {}


class _Settings(msgspec.Struct, frozen=True, kw_only=True):
    exclude_keys: tuple[str, ...] = ()


class DatasetManifest(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset, its numbers of rows, and the settings with which it was built."""

    digest: str
    tenant: str
    model: str
    counts: _Counts
    settings: _Settings = _Settings()

    @property
    def numbers(self) -> dict[str, float]:
        """The counts as the numbers of a record."""
        dropped = {f"dropped.{name}": float(count) for name, count in self.counts.dropped.items()}
        return {"train": float(self.counts.train), "eval": float(self.counts.eval)} | dropped

    def excluded_since(self, present: DatasetSettings) -> tuple[str, ...]:
        """Return the API keys that `present` excludes from training and the build did not; "all" without training."""
        if not present.training:
            return ("all",)
        return tuple(sorted({*present.exclude_keys} - {*self.settings.exclude_keys}))


def find_dataset(home: Path, digest: str) -> DatasetManifest:
    """Return the manifest of the only dataset whose digest starts with `digest`; raises TrainingError."""
    folders = home / "loop" / "datasets"
    found = [path for path in folders.glob("*/manifest.json") if digest and path.parent.name.startswith(digest)]
    if len(found) != 1:
        raise TrainingError(
            f"{len(found)} datasets in {folders} start with {digest!r}, and one is needed; see `weir dataset list`"
        )
    return _read(found[0])


def read_dataset(home: Path, digest: str) -> DatasetManifest:
    """Return the manifest of the dataset `digest`; raises TrainingError if it cannot be read."""
    return _read(home / "loop" / "datasets" / digest / "manifest.json")


def _read(path: Path) -> DatasetManifest:
    try:
        return msgspec.json.decode(path.read_bytes(), type=DatasetManifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TrainingError(
            f"{path} cannot be read ({error}); build the dataset again with `weir dataset build`"
        ) from None
