"""Let aiokafka read records with header names that are not UTF-8.

Kafka accepts such names, and clients in C can write them. aiokafka 0.14 raises UnicodeDecodeError at such a record, also after a
restart, so no consumer would read past it.
"""

from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_LENGTH = slice(8, 12)  # of a batch, without these 12 bytes
_MAGIC = 16  # from format 2 on, records have headers
_AiokafkaRecords = fetcher.PartitionRecords


class _Batches:
    """The batches of a partition in a fetch response, with their bytes and the number of batches that were taken."""

    def __init__(self, data: bytes) -> None:
        self.data, self.taken = data, 0
        self._batches = MemoryRecords(data)
        self.has_next, self.size_in_bytes = self._batches.has_next, self._batches.size_in_bytes

    def next_batch(self) -> Any:
        self.taken += 1
        return self._batches.next_batch()


class _PartitionRecords:
    """The records of these batches; a character of a header name that is not UTF-8 becomes U+FFFD."""

    def __init__(self, tp: Any, batches: _Batches, aborted: Any, fetch_offset: int, *options: Any) -> None:
        self._tp, self._batches, self._aborted, self._options = tp, batches, aborted, options
        self._records = _AiokafkaRecords(tp, batches, aborted, fetch_offset, *options)

    @property
    def next_fetch_offset(self) -> int:
        return int(self._records.next_fetch_offset)

    def __iter__(self) -> "_PartitionRecords":
        return self

    def __next__(self) -> Any:
        try:
            return next(self._records)
        except UnicodeDecodeError:
            # Again from the present batch; aiokafka skips the records before the offset.
            again = _TolerantBatches(self._batches.data, self._batches.taken - 1)
            self._records = _AiokafkaRecords(self._tp, again, self._aborted, self.next_fetch_offset, *self._options)
            return next(self._records)


class _TolerantBatches:
    """Batches for aiokafka's parser in Python, which is slower."""

    def __init__(self, data: bytes, skipped: int) -> None:
        self._rest = memoryview(data)
        for _ in range(skipped):
            self._rest = self._rest[self._size() :]

    def has_next(self) -> bool:
        return len(self._rest) > _MAGIC and self._size() <= len(self._rest)

    def next_batch(self) -> Any:
        size = self._size()
        data, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return _TolerantBatch(data) if data[_MAGIC] > 1 else MemoryRecords(data).next_batch()

    def _size(self) -> int:
        return _LENGTH.stop + int.from_bytes(self._rest[_LENGTH])


class _TolerantBatch:
    def __init__(self, data: bytes) -> None:
        self._batch = _DefaultRecordBatchPy(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Any:
        records = iter(self._batch)  # this uncompresses the buffer
        vars(records)["_buffer"] = _Text(vars(records)["_buffer"])
        return records


class _Text(bytearray):
    """Bytes whose slices decode with U+FFFD in the place of each character that is not UTF-8."""

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        return _Text(part) if isinstance(key, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


def accept_any_header_name() -> None:
    """Let the consumers of this process read records with any header name."""
    fetcher.MemoryRecords, fetcher.PartitionRecords = _Batches, _PartitionRecords
