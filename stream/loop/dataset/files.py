"""The files of a dataset: ``$WEIR_HOME/loop/datasets/DIGEST``, each written to a temporary name and then renamed, mode 0600.

manifest.json is written last, so a folder with a manifest is complete.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from stream.errors import DatasetDamaged
from stream.files import replace_file
from stream.loop.dataset.curate import Bound, Curated
from stream.loop.dataset.log import DatasetRequest
from stream.loop.dataset.rows import Row, digest_of
from stream.wire import LogRange

_MANIFEST = "manifest.json"
_SPLITS = ("train", "eval")
_LEAST_PREFIX = 6


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of rows; `dropped` is {reason: number of reviewed requests that were left out}."""

    train: int
    eval: int
    dropped: dict[str, int]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Sources and contents of a dataset; the file manifest.json.

    `authors` is {id of a row: API key of its request}, and `reviewers` is {id of a row: API keys whose reviews support
    it}. `unmatched` is the number of judgments without a request of this model in the ranges: the request is outside the
    ranges, of another model, or unknown. `files` is {name: SHA-256} of the other files.
    """

    digest: str
    retraining_id: str
    tenant: str
    model: str
    ranges: tuple[LogRange, ...]
    versions: dict[str, str]
    counts: Counts
    settings: dict[str, Any]
    bounds: tuple[Bound, ...] = ()
    principals: tuple[str, ...] = ()
    authors: dict[str, str] = {}
    reviewers: dict[str, tuple[str, ...]] = {}
    parent: str = ""
    unmatched: int = 0
    files: dict[str, str] = {}

    def request(self) -> DatasetRequest:
        """Return the request with which the dataset can be built again."""
        return DatasetRequest(
            tenant=self.tenant,
            model=self.model,
            ranges=self.ranges,
            retraining_id=self.retraining_id,
            versions=self.versions,
            parent=self.parent,
        )


def folder_of(home: Path, digest: str) -> Path:
    """Return the folder of the dataset `digest`."""
    return home / "loop" / "datasets" / digest


def datasets_in(home: Path) -> list[Path]:
    """Return the folders of all complete datasets, sorted by digest."""
    return sorted(path.parent for path in (home / "loop" / "datasets").glob(f"*/{_MANIFEST}"))


def find(home: Path, digest: str) -> Path:
    """Return the folder of the only dataset whose digest begins with `digest`.

    Raises DatasetDamaged if no or several datasets match, or if `digest` is too short.
    """
    found = [path for path in datasets_in(home) if path.name.startswith(digest)]
    if len(digest) < _LEAST_PREFIX or len(found) != 1:
        raise DatasetDamaged(
            f"{len(found)} datasets in {home / 'loop' / 'datasets'} have a digest that begins with {digest!r}; give at least"
            f" {_LEAST_PREFIX} characters of one, or build it with `weir dataset build`"
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


def write_rows(folder: Path, curated: Curated) -> None:
    """Write train.parquet and eval.parquet into `folder`, which is created with mode 0700."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, rows in zip(_SPLITS, (curated.train, curated.eval), strict=True):
        replace_file(folder / f"{name}.parquet", parquet(rows), durable=True)


def read_rows(folder: Path, split: str) -> list[Row]:
    """Return the rows of the split ``train`` or ``eval``; raises DatasetDamaged."""
    import pyarrow as pa  # noqa: PLC0415 - an optional extra, half a second
    import pyarrow.parquet as pq  # noqa: PLC0415

    path = folder / f"{split}.parquet"
    try:
        return msgspec.convert(pq.read_table(path).to_pylist(), list[Row])
    except (OSError, pa.ArrowException, msgspec.ValidationError) as error:
        raise DatasetDamaged(
            f"{path} cannot be read ({type(error).__name__}); build the dataset again with `weir dataset build`"
        ) from None


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a dataset; raises DatasetDamaged."""
    path = folder / _MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DatasetDamaged(
            f"{path} cannot be read ({type(error).__name__}); build the dataset again with `weir dataset build`"
        ) from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json, the last file of a dataset."""
    content = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    replace_file(folder / _MANIFEST, content + b"\n", durable=True)


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
