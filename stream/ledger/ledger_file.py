"""A SQLite file with data from the log. Each record is stored once: its rows and offset are in one transaction.

A record that cannot be read or stored is skipped and counted.
"""

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from stream.count_text import count_text
from stream.ledger.schema import transaction
from stream.wire import Event, WireError, bounded, decode

_LOG = logging.getLogger(__name__)
#: Topic and partition.
Partition = tuple[str, int]
#: Called once for each record that cannot be stored.
Unstored = Callable[[], None]
#: Errors that SQLite and its driver raise because of a value. OperationalError (a full disk) is about the file and ends
#: the process.
_UNSTORABLE = (
    OverflowError,
    ValueError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)


class LogRecord(Protocol):
    """The part of aiokafka's ``ConsumerRecord`` that the ledger reads."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


Handler = Callable[[LogRecord, Event, Any], None]


class _Progress:
    """The next offset of each partition, the number of records that a batch skipped, and the unreadable records."""

    def __init__(self, offsets: dict[Partition, int]) -> None:
        self.next = offsets
        self.skipped: Counter[tuple[str, str]] = Counter()
        self.unreadable: dict[Partition, list[tuple[int, WireError]]] = {}


class LedgerFile:
    """Base class of the file of a partition and the file of decisions.

    `unstored` is called for each record that cannot be stored.

    Rows that are more than `retention_seconds` older than the newest row are deleted.
    """

    #: Whether a record without a value is expected, as on a compacted topic.
    tombstones: ClassVar[bool] = False

    def __init__(
        self,
        database: sqlite3.Connection,
        *,
        retention_seconds: float = float("inf"),
        unstored: Unstored = lambda: None,
    ) -> None:
        self.database = database
        self._retention_seconds = retention_seconds
        self._unstored = unstored
        self._handlers: Mapping[type, Handler] = {}

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def offsets(self) -> dict[Partition, int]:
        """Return {(topic, partition): the next offset to read}."""
        return {(topic, part): offset for topic, part, offset in self.database.execute("SELECT * FROM offsets")}

    def apply(self, records: Sequence[LogRecord]) -> int:
        """Store a batch; return the number of stored records.

        A batch that fails is halved until the record that causes the failure is alone; only this record is skipped.
        """
        try:
            return self._apply(records)
        except _UNSTORABLE as error:
            if len(records) == 1:
                self._skip(records[0], error)
                return 0
        middle = len(records) // 2
        return sum(self.apply(half) for half in (records[:middle], records[middle:]))

    def _apply(self, records: Sequence[LogRecord]) -> int:
        taken = 0
        with transaction(self.database):
            progress = _Progress(self.offsets())
            for record, event in self._read_new(records, progress):
                handler = self._handlers.get(type(event.data))
                if handler is not None:
                    handler(record, event, event.data)
                    taken += 1
            self._flush()
            self._write_progress(progress)
        # One line for each batch: a foreign producer can write any number of unreadable records.
        for (topic, partition), found in progress.unreadable.items():
            skipped = count_text(len(found), "unreadable record is", "unreadable records are")
            _LOG.warning("%s/%d: %s skipped, the first at %d: %s", topic, partition, skipped, *found[0])
        return taken

    def _flush(self) -> None:
        """Write the rows that a batch has collected, in the transaction of the batch."""

    def _deleted_before(self, record: LogRecord) -> None:
        """Note that Kafka deleted the records before `record` before the ledger read them."""

    def _read_new(self, records: Iterable[LogRecord], progress: _Progress) -> Iterable[tuple[LogRecord, Event]]:
        """Yield the new, readable records; advance `progress` past all records."""
        for record in records:
            key = (record.topic, record.partition)
            expected = progress.next.get(key, 0)
            if record.offset < expected:
                continue
            if record.offset > expected:
                self._deleted_before(record)
            progress.next[key] = record.offset + 1
            if record.value is None and self.tombstones:
                continue
            try:
                event = bounded(decode(record.value, record.headers), record.timestamp / 1000)
            except WireError as error:
                progress.skipped[record.topic, error.disposition] += 1
                progress.unreadable.setdefault(key, []).append((record.offset, error))
            else:
                yield record, event

    def _skip(self, record: LogRecord, error: Exception) -> None:
        location = f"{record.topic}/{record.partition} at {record.offset}"
        # The type alone: the message of the error may quote a value.
        _LOG.error("%s cannot be stored (%s); the record is skipped", location, type(error).__name__)
        with transaction(self.database):
            progress = _Progress(self.offsets())
            progress.next[record.topic, record.partition] = record.offset + 1
            progress.skipped[record.topic, "storage"] += 1
            self._write_progress(progress)
        self._unstored()

    def _write_progress(self, progress: _Progress) -> None:
        offsets = [(topic, partition, offset) for (topic, partition), offset in progress.next.items()]
        self.database.executemany("INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)", offsets)
        self.database.executemany(
            "INSERT INTO skipped VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET records = records + excluded.records",
            [(topic, reason, count) for (topic, reason), count in progress.skipped.items()],
        )
