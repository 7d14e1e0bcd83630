"""The files of the archive: ``URL/TOPIC/PARTITION/FROM-TO.parquet``, with the offset TO exclusive.

A local file is written beside and renamed, mode 0600, because ``weir.inference`` contains prompts and answers. The
columns are those of a Kafka record: `offset`, `timestamp` (milliseconds), `key`, `value` (JSON), `headers`; and for
queries `type`, `id`, `time` and `request_id` from the headers.
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from stream.address import redacted
from stream.errors import ArchiveFailed
from stream.files import replace_file
from stream.wire import event_time

__all__ = ["Archive", "ArchivedRecord", "Segment"]

_NAME = re.compile(r"(?:\A|/)(\d{20})-(\d{20})\.parquet\Z")
_RESTORE = "restore it from a copy, or delete it: its records are then a gap in the archive"
_SHOWN = {"type": "ce_type", "id": "ce_id", "time": "ce_time", "request_id": "ce_correlationid"}


class ArchivedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One Kafka record; the fields have the names and types of aiokafka's ``ConsumerRecord``."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Segment(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One file: the records of a partition with offsets from `first` to `last`, exclusive."""

    first: int
    last: int
    path: str


class Archive:
    """Reads and writes segments in a folder or at an fsspec address; all methods block."""

    def __init__(self, url: str) -> None:
        import fsspec  # noqa: PLC0415 - an optional extra

        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise ArchiveFailed(
                f"[archive] url {redacted(url)!r} cannot be opened: {error}; install its package, start its server, or name a folder"
            ) from error
        self._root = str(root).rstrip("/")
        self._local = "file" in (
            (self._files.protocol,) if isinstance(self._files.protocol, str) else self._files.protocol
        )

    def segments(self, topic: str, partition: int) -> list[Segment]:
        """Return the segments of a partition, sorted by their first offset; raises ArchiveFailed."""
        self._files.invalidate_cache()
        folder = self._folder(topic, partition)
        with _reading(folder, "check [archive] url and the rights"):
            try:
                names: list[str] = self._files.ls(folder, detail=False)
            except FileNotFoundError:
                return []
        found = ((name, _NAME.search(str(name))) for name in names)
        return sorted(
            Segment(first=int(match[1]), last=int(match[2]), path=str(name))
            for name, match in found
            if match is not None
        )

    def end(self, topic: str, partition: int) -> int:
        """Return the offset after the last archived record, or 0."""
        return max((segment.last for segment in self.segments(topic, partition)), default=0)

    def write(self, topic: str, partition: int, last: int, records: Sequence[ArchivedRecord]) -> None:
        """Write one segment: `records`, at least one, up to the offset `last`, exclusive; raises ArchiveFailed."""
        name = f"{records[0].offset:020d}-{last:020d}.parquet"
        folder = self._folder(topic, partition)
        content = _encoded(records)
        try:
            if self._local:
                Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
                replace_file(Path(folder) / name, content, durable=True)
            else:
                self._files.pipe_file(f"{folder}/{name}", content)
        except OSError as error:
            raise ArchiveFailed(
                f"{folder}/{name} cannot be written: {error}; free space, or change [archive] url"
            ) from error

    def read(self, segment: Segment) -> Iterator[ArchivedRecord]:
        """Yield the records of a segment; raises ArchiveFailed."""
        import pyarrow.parquet as pq  # noqa: PLC0415 - an optional extra, half a second

        columns = ["offset", "timestamp", "key", "value", "headers"]
        with _reading(segment.path, _RESTORE), self._files.open(segment.path, "rb") as file:
            for batch in pq.ParquetFile(file).iter_batches(batch_size=1_000, columns=columns):
                for row in batch.to_pylist():
                    headers = tuple((header["name"], header["value"]) for header in row["headers"])
                    yield ArchivedRecord(**row | {"headers": headers})

    def produced_since(self, topic: str, partition: int, time: float | None) -> int | None:
        """Return the offset of the first archived record that was produced at `time` (None: any time) or later, or None.

        If it is the first record after a gap, return the offset at which the gap begins: its records can be as new as `time`.
        """
        found, archived = self._produced_since(topic, partition, time)
        return archived or found

    def _produced_since(self, topic: str, partition: int, time: float | None) -> tuple[int | None, int]:
        """Return the offset of the record, and the offset at which the gap before it begins, or 0."""
        least = None if time is None else int(time * 1000)
        archived = 0
        for segment in self.segments(topic, partition):
            if least is None:
                return segment.first, 0
            if self._newest(segment) >= least:
                found = next((one.offset for one in self.read(segment) if one.timestamp >= least), segment.last)
                return found, archived if found == segment.first else 0
            archived = max(archived, segment.last)
        return None, 0

    def last_until(self, topic: str, partition: int, until: float, end: float) -> int | None:
        """Return the offset after the last archived record with an event time of `until` or earlier.

        The search begins at the first record that was produced at `until` or later, and ends at an event time after `end`.
        Return None if it reaches the end of the archive.
        """
        start, _ = self._produced_since(topic, partition, until)
        if start is None:
            return None
        last = start
        for segment in self.segments(topic, partition):
            for record in self.read(segment) if segment.last > start else ():
                time = event_time(record.headers)
                if time is not None and time > end:
                    return last
                if time is not None and time <= until:
                    last = max(last, record.offset + 1)
        return None

    def _newest(self, segment: Segment) -> int:
        """Return the largest timestamp of a segment, from the statistics of its file."""
        import pyarrow.parquet as pq  # noqa: PLC0415 - an optional extra, half a second

        with _reading(segment.path, _RESTORE), self._files.open(segment.path, "rb") as file:
            metadata = pq.ParquetFile(file).metadata
            column = metadata.schema.names.index("timestamp")
            return max(
                (int(metadata.row_group(row).column(column).statistics.max) for row in range(metadata.num_row_groups)),
                default=-1,
            )

    def _folder(self, topic: str, partition: int) -> str:
        return f"{self._root}/{topic}/{partition}"


@contextmanager
def _reading(path: str, remedy: str) -> Iterator[None]:
    """Raise ArchiveFailed if `path` cannot be read, or is not the file that Weir wrote."""
    try:
        yield
    except (OSError, ValueError, KeyError) as error:  # pyarrow's errors are an OSError or a ValueError
        raise ArchiveFailed(f"{path} in the archive cannot be read: {error}; {remedy}") from error


def _encoded(records: Iterable[ArchivedRecord]) -> bytes:
    import pyarrow as pa  # noqa: PLC0415 - an optional extra, half a second
    import pyarrow.parquet as pq  # noqa: PLC0415

    text, header = pa.string(), pa.struct([("name", pa.string()), ("value", pa.binary())])
    schema = pa.schema(
        [
            ("offset", pa.int64()),
            ("timestamp", pa.int64()),
            ("key", pa.binary()),
            ("value", pa.binary()),
            ("headers", pa.list_(header)),
            *((name, text) for name in _SHOWN),
        ]
    )
    rows: list[dict[str, Any]] = []
    for record in records:
        named = dict(record.headers)
        shown = {name: (named.get(key) or b"").decode("utf-8", "replace") for name, key in _SHOWN.items()}
        headers = [{"name": name, "value": value} for name, value in record.headers]
        rows.append(msgspec.structs.asdict(record) | {"headers": headers} | shown)
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()
