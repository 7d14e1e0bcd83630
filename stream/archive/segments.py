"""The files of the archive: ``URL/TOPIC/PARTITION/FROM-TO.parquet``, with the offset TO exclusive.

A file is written under another name, and renamed when it is complete; an object store needs no rename. A local file has
mode 0600, because ``weir.inference`` contains prompts and answers. The columns are those of a Kafka record: `offset`, `timestamp`
(milliseconds), `key`, `value` (JSON), `headers`; and for queries `type`, `id`, `time` and `request_id` from the headers.
"""

import io
import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stream.address import redacted
from stream.errors import ArchiveFailed
from stream.files import replace_file
from stream.wire import event_time

_NAME = re.compile(r"(\d{20})-(\d{20})\.parquet")
_ACCESS = "check [archive] url, its server, the credentials and the permissions"
_RESTORE = (
    "try again; if the file is damaged, restore it from a copy, or delete it: its records are then a gap in the archive"
)
#: The clocks of producers usually differ by less than this, so the largest timestamps of segments are in order except for this difference.
_CLOCKS_MS = 3_600_000
#: Number of segments before the found segment whose order is checked: some can contain only records of a gateway whose clock is behind.
_CHECKED = 24
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


class Position(NamedTuple):
    """A record's offset and timestamp in milliseconds, and the offset after the archived record before it, or 0.

    If `before` is less than `offset`, the records between are a gap in the archive.
    """

    offset: int
    timestamp: int
    before: int


def in_milliseconds(time: float) -> int:
    """Return a time in seconds as a Kafka timestamp, in milliseconds, rounded down. Without the addend, 1.123 s would become 1,122 ms."""
    return int(time * 1000 + 0.001)


class Archive:
    """Reads and writes segments in a folder or at an fsspec address; all methods block."""

    def __init__(self, url: str) -> None:
        import fsspec  # noqa: PLC0415 - an optional extra

        remedy = "install its package, start its server, check the credentials, or name a folder"
        if re.search(r"(?<!s)ftp://", url):
            raise ArchiveFailed(
                f"[archive] url {redacted(url)!r} uses FTP, which sends the password, the prompts and the answers without encryption; "
                "use an s3:// or sftp:// address, or a folder"
            )
        with _failing(f"[archive] url {redacted(url)!r} cannot be opened", remedy):
            self._files, root = fsspec.core.url_to_fs(url)
        self._root = str(root).rstrip("/")
        protocols = (self._files.protocol,) if isinstance(self._files.protocol, str) else self._files.protocol
        self._local = "file" in protocols

    def segments(self, topic: str, partition: int) -> list[Segment]:
        """Return the segments of a partition, sorted by their first offset; raises ArchiveFailed."""
        self._files.invalidate_cache()
        folder = self._folder(topic, partition)
        with _reading(folder, _ACCESS):
            try:
                paths: list[str] = self._files.ls(folder, detail=False)
            except FileNotFoundError:
                return []
        found = (_NAME.fullmatch(str(path).rpartition("/")[2]) for path in paths)
        return sorted(
            Segment(first=int(match[1]), last=int(match[2]), path=f"{folder}/{match[0]}")
            for match in found
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
        with _failing(f"{folder}/{name} cannot be written", f"free space, or {_ACCESS}"):
            if self._local:
                Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
                replace_file(Path(folder) / name, content, durable=True)
            elif self._files.async_impl:  # the object stores, in which an object is complete or absent
                self._files.pipe_file(f"{folder}/{name}", content)
            else:  # a server with folders, such as SFTP
                self._files.makedirs(folder, exist_ok=True)
                draft = f"{folder}/.{name}.{os.getpid()}"
                self._files.pipe_file(draft, content)
                self._files.mv(draft, f"{folder}/{name}")

    def read(self, segment: Segment) -> Iterator[ArchivedRecord]:
        """Yield the records of a segment; raises ArchiveFailed."""
        import pyarrow.parquet as pq  # noqa: PLC0415 - an optional extra, half a second

        columns = ["offset", "timestamp", "key", "value", "headers"]
        with _reading(segment.path, _RESTORE), self._files.open(segment.path, "rb") as file:
            for batch in pq.ParquetFile(file).iter_batches(batch_size=1_000, columns=columns):
                for row in batch.to_pylist():
                    headers = tuple((header["name"], header["value"]) for header in row["headers"])
                    yield ArchivedRecord(**row | {"headers": headers})

    def produced_since(self, topic: str, partition: int, time: float | None) -> Position | None:
        """Return the first archived record that was produced at `time` (None: any time) or later, or None."""
        segments = self.segments(topic, partition)
        least, start = -1, 0
        if time is not None:
            least = in_milliseconds(time)
            bound = least - _CLOCKS_MS
            start = bisect_left(segments, bound, key=lambda segment: self._timestamps(segment)[1])
            if any(self._timestamps(segment)[1] >= bound for segment in segments[max(start - _CHECKED, 0) : start]):
                start = 0
        before = segments[start - 1].last if start else 0
        for segment in segments[start:]:
            if self._timestamps(segment)[1] >= least:
                record = next((one for one in self.read(segment) if one.timestamp >= least), None)
                if record is not None:
                    first = segment.first if time is None else record.offset
                    return Position(first, record.timestamp, before if record.offset == segment.first else first)
            before = segment.last
        return None

    def oldest(self, topic: str, partition: int) -> tuple[int, float] | None:
        """Return the offset of the first archived record of a partition, and the time at which its file begins, or None."""
        segments = self.segments(topic, partition)
        return (segments[0].first, self._timestamps(segments[0])[0] / 1000) if segments else None

    def last_until(self, topic: str, partition: int, until: float, end: float) -> int | None:
        """Return the offset after the last archived record with an event time of `until` or earlier.

        The search begins at the first record that was produced at `until` or later, and ends at an event time after `end`.
        Return None if it reaches the end of the archive.
        """
        found = self.produced_since(topic, partition, until)
        if found is None:
            return None
        last = start = found.offset
        for segment in self.segments(topic, partition):
            for record in self.read(segment) if segment.last > start else ():
                time = event_time(record.headers)
                if time is not None and end < time <= record.timestamp / 1000:  # a newer event is that of a fast clock
                    return last
                if time is not None and time <= until:
                    last = max(last, record.offset + 1)
        return None

    def _timestamps(self, segment: Segment) -> tuple[int, int]:
        """Return the smallest and the largest timestamp of a segment, in milliseconds, from the statistics of its file."""
        import pyarrow.parquet as pq  # noqa: PLC0415 - an optional extra, half a second

        with _reading(segment.path, _RESTORE), self._files.open(segment.path, "rb") as file:
            metadata = pq.ParquetFile(file).metadata
            column = metadata.schema.names.index("timestamp")
            found = [metadata.row_group(row).column(column).statistics for row in range(metadata.num_row_groups)]
            return min((int(one.min) for one in found), default=-1), max((int(one.max) for one in found), default=-1)

    def _folder(self, topic: str, partition: int) -> str:
        return f"{self._root}/{topic}/{partition}"


def _reading(path: str, remedy: str) -> AbstractContextManager[None]:
    return _failing(f"{redacted(path)} in the archive cannot be read", remedy)


@contextmanager
def _failing(problem: str, remedy: str) -> Iterator[None]:
    """Raise ArchiveFailed for every error, because the stores of fsspec raise those of their own libraries, such as botocore's."""
    try:
        yield
    except Exception as error:
        raise ArchiveFailed(f"{problem}: {redacted(str(error)) or type(error).__name__}; {remedy}") from error


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
