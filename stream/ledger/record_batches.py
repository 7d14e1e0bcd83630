"""Reading records into one file: each once, in its partition's order; what cannot be read or stored is skipped and counted."""

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from stream.ledger.schema import transaction
from stream.wire import DecodeError, Event, SchemaError, decode

__all__ = [
    "LogRecord",
    "Progress",
    "TopicPartitionKey",
    "Unstored",
    "next_offsets",
    "read_new",
    "start_progress",
    "store",
    "write_progress",
]

_LOG = logging.getLogger(__name__)
TopicPartitionKey = tuple[str, int]
#: Called once for each record that cannot be stored.
Unstored = Callable[[], None]
#: What SQLite and its driver raise because of a value; OperationalError (a full disk) is of the file and ends the process.
_UNSTORABLE = (
    OverflowError,
    ValueError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)


class LogRecord(Protocol):
    """What the ledger needs of a Kafka record (aiokafka's ``ConsumerRecord`` has it)."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Progress:
    """How far each partition was read, and what was skipped on the way, in one batch."""

    def __init__(self, start: dict[TopicPartitionKey, int]) -> None:
        self.next = start
        self.skipped: Counter[tuple[str, str]] = Counter()


def next_offsets(database: sqlite3.Connection) -> dict[TopicPartitionKey, int]:
    """Return {(topic, partition): the offset to read next}."""
    return {(topic, part): offset for topic, part, offset in database.execute("SELECT * FROM offsets")}


def read_new(
    records: Iterable[LogRecord], progress: Progress, *, tombstones: bool = False
) -> Iterable[tuple[LogRecord, Event]]:
    """Yield what is new and can be read; move `progress` over everything.

    Parameters
    ----------
    records
        In the order of each partition; repeats and records below the stored offset are passed over.
    progress
        Changed as the iteration goes.
    tombstones
        Whether a record without a value is no fault (a compacted topic has them).
    """
    for record in records:
        key = (record.topic, record.partition)
        if record.offset < progress.next.get(key, 0):
            continue
        progress.next[key] = record.offset + 1
        if record.value is None and tombstones:
            continue
        try:
            event = decode(record.value, record.headers)
        except SchemaError:
            progress.skipped[(record.topic, "schema")] += 1
        except DecodeError:
            progress.skipped[(record.topic, "decode")] += 1
        else:
            yield record, event


def store(
    database: sqlite3.Connection,
    records: Sequence[LogRecord],
    apply: Callable[[Sequence[LogRecord]], int],
    unstored: Unstored,
) -> int:
    """Apply `records`, all but those that cannot be stored; return how many were taken.

    A batch that fails is halved until the record at fault is alone; its offset is committed, so that one bad record never stops the ledger.

    Parameters
    ----------
    database
        Where `apply` writes.
    records
        In the order of each partition.
    apply
        Writes a batch and its offsets in one transaction, or nothing of it; returns how many records it took.
    unstored
        Called once for each record that is skipped.
    """
    try:
        return apply(records)
    except _UNSTORABLE as error:
        if len(records) == 1:
            _skip(database, records[0], error)
            unstored()
            return 0
    middle = len(records) // 2
    return sum(store(database, half, apply, unstored) for half in (records[:middle], records[middle:]))


def _skip(database: sqlite3.Connection, record: LogRecord, error: Exception) -> None:
    kind = type(error).__name__  # its message may quote a value
    _LOG.error("%s/%d at %d cannot be stored (%s); it is skipped", record.topic, record.partition, record.offset, kind)
    with transaction(database):
        progress = start_progress(database)
        progress.next[record.topic, record.partition] = record.offset + 1
        progress.skipped[record.topic, "storage"] += 1
        write_progress(database, progress)


def start_progress(database: sqlite3.Connection) -> Progress:
    """Return the progress that is stored, to be moved on."""
    return Progress(next_offsets(database))


def write_progress(database: sqlite3.Connection, progress: Progress) -> None:
    """Store `progress` in the caller's transaction."""
    rows = [(topic, partition, offset) for (topic, partition), offset in progress.next.items()]
    database.executemany("INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)", rows)
    database.executemany(
        "INSERT INTO skipped VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET records = records + excluded.records",
        [(topic, reason, count) for (topic, reason), count in progress.skipped.items()],
    )
