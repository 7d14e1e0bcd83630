"""The files of a dataset: ``$WEIR_HOME/loop/datasets/DIGEST``, each written to a temporary name and then renamed, mode 0600.

manifest.json is written last, so a folder with a manifest is complete. The imports are few, for the trainer and the gate.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from stream.errors import DatasetDamaged
from stream.files import replace_file, write_json
from stream.loop.dataset.rows import Row, digest_of
from stream.wire import LogRange

if TYPE_CHECKING:
    import pyarrow as pa

    from stream.loop.settings import DatasetSettings

_MANIFEST = "manifest.json"


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """A bound against poisoning that left rows out.

    `name` is the setting, `of` is the API key, or the request id of the first of the similar answers; `found` and
    `kept` are numbers of rows.
    """

    name: str
    of: str
    found: int
    kept: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of rows; `dropped` is {reason: number of reviewed requests that were left out}."""

    train: int
    eval: int
    dropped: dict[str, int] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Sources and contents of a dataset; the file manifest.json.

    `authors` is {id of a row: API key of its request}, and `reviewers` is {id of a row: API keys whose reviews support
    it}. `unmatched` is the number of judgments without a request of this model in the ranges: the request is outside the
    ranges, of another model, or unknown. `files` is {name: SHA-256} of the other files.
    """

    digest: str
    retraining_id: str = ""
    tenant: str
    model: str
    ranges: tuple[LogRange, ...] = ()
    versions: dict[str, str] = {}
    counts: Counts
    settings: dict[str, Any] = {}
    bounds: tuple[Bound, ...] = ()
    principals: tuple[str, ...] = ()
    authors: dict[str, str] = {}
    reviewers: dict[str, tuple[str, ...]] = {}
    parent: str = ""
    unmatched: int = 0
    files: dict[str, str] = {}

    @property
    def numbers(self) -> dict[str, float]:
        """The counts as the numbers of a record."""
        dropped = {f"dropped.{name}": float(count) for name, count in self.counts.dropped.items()}
        return {"train": float(self.counts.train), "eval": float(self.counts.eval)} | dropped

    def excluded_since(self, present: DatasetSettings) -> tuple[str, ...]:
        """Return the API keys that `present` excludes from training and the build did not; "all" without training."""
        if not present.training:
            return ("all",)
        return tuple(sorted({*present.exclude_keys} - {*self.settings.get("exclude_keys", ())}))


def folder_of(home: Path, digest: str) -> Path:
    """Return the folder of the dataset `digest`."""
    return home / "loop" / "datasets" / digest


def datasets_in(home: Path) -> list[Path]:
    """Return the folders of all complete datasets, sorted by digest."""
    return sorted(path.parent for path in (home / "loop" / "datasets").glob(f"*/{_MANIFEST}"))


def find(home: Path, digest: str) -> Path:
    """Return the folder of the only dataset whose digest starts with `digest`; raises DatasetDamaged."""
    found = [path for path in datasets_in(home) if digest and path.name.startswith(digest)]
    if len(found) != 1:
        raise DatasetDamaged(
            f"{len(found)} datasets in {home / 'loop' / 'datasets'} start with {digest!r}, and one is needed; see `weir dataset list`"
        )
    return found[0]


def parquet(rows: Sequence[Row]) -> bytes:
    """Return the rows as a Parquet file with zstd compression."""
    import pyarrow as pa  # noqa: PLC0415 - an optional extra, half a second
    import pyarrow.parquet as pq  # noqa: PLC0415

    text, turn = pa.string(), pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema(
        [
            ("id", text),
            ("kind", text),
            ("prompt", pa.list_(turn)),
            ("completion", text),
            ("label", pa.bool_()),
            ("source", text),
            ("conversation", text),
            ("cluster", pa.int32()),
            ("principal", text),
        ]
    )
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row.columns() for row in rows], schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def write_rows(folder: Path, train: Sequence[Row], held_out: Sequence[Row]) -> None:
    """Write train.parquet and eval.parquet into `folder`, which is created with mode 0700."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, rows in (("train", train), ("eval", held_out)):
        replace_file(folder / f"{name}.parquet", parquet(rows), durable=True)


def read_checked(path: Path) -> bytes:
    """Return the content of a dataset's file; raises DatasetDamaged if the manifest has another SHA-256."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != (stated := read_manifest(path.parent).files.get(path.name, "")):
        raise DatasetDamaged(
            f"{path} has the SHA-256 {digest}, its manifest.json says {stated!r}; build the dataset again with"
            " `weir dataset build`"
        )
    return content


def read_table(folder: Path, split: str, columns: list[str] | None = None) -> pa.Table:
    """Return the columns, or all, of the split ``train`` or ``eval``; raises DatasetDamaged."""
    import pyarrow as pa  # noqa: PLC0415 - an optional extra, half a second
    import pyarrow.parquet as pq  # noqa: PLC0415

    path = folder / f"{split}.parquet"
    try:
        return pq.read_table(io.BytesIO(read_checked(path)), columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def read_rows(folder: Path, split: str) -> list[Row]:
    """Return the rows of the split ``train`` or ``eval``; raises DatasetDamaged."""
    try:
        return msgspec.convert(read_table(folder, split).to_pylist(), list[Row])
    except (ValueError, msgspec.ValidationError) as error:
        raise _unreadable(folder / f"{split}.parquet", error) from None


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a dataset; raises DatasetDamaged."""
    path = folder / _MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DatasetDamaged:
    # Errors of Arrow can contain a cell.
    reason = error if isinstance(error, OSError | msgspec.MsgspecError) else type(error).__name__
    return DatasetDamaged(f"{path} cannot be read ({reason}); build the dataset again with `weir dataset build`")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json, the last file of a dataset."""
    write_json(folder / _MANIFEST, manifest, durable=True)


def verify(folder: Path) -> Manifest:
    """Compare the rows with the digest in the manifest and in the folder's name; raises DatasetDamaged if they differ."""
    manifest = read_manifest(folder)
    found = digest_of(read_rows(folder, "train"), read_rows(folder, "eval"))
    if not found == manifest.digest == folder.name:
        raise DatasetDamaged(
            f"the rows in {folder} have the digest {found}, the manifest says {manifest.digest}; build the dataset again with"
            " `weir dataset build`"
        )
    return manifest
