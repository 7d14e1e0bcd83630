"""The ledger's tables: ids, numbers and offsets, never text.

There is one SQLite file for each inference partition and one for alerts, windows and retraining events. Rows and the
offsets of their records are written in one transaction.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from stream.wire import AlertRecord, RetrainingRecord

StructT = TypeVar("StructT")
#: The JSON of the records in the tables.
JSON = msgspec.json.Encoder(order="deterministic")
ALERT, RETRAINING = msgspec.json.Decoder(AlertRecord), msgspec.json.Decoder(RetrainingRecord)
#: A file of another version is deleted and read again from the log.
SCHEMA_VERSION = 12
#: The write-ahead log is cut to this size after a larger transaction; SQLite's default keeps its largest size until the last connection closes.
_WAL_BYTES = 16 * 1024 * 1024
#: SQLite's codes for a file that is no ledger: a table is absent (SQLITE_ERROR), a page is damaged, it is no database.
_DAMAGED = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
#: The other bits of an extended error code are its details.
_PRIMARY_CODE = 0xFF

_COMMON = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS offsets (
  topic TEXT, partition INTEGER, next INTEGER NOT NULL, PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS skipped (
  topic TEXT, reason TEXT, records INTEGER NOT NULL, PRIMARY KEY (topic, reason)) WITHOUT ROWID;
"""

# An event id starts with its request id and "/": a range of primary keys finds the events of a request without another
# index.
_SHARD = """
CREATE TABLE IF NOT EXISTS events (
  event_id TEXT PRIMARY KEY, request_id TEXT NOT NULL, side TEXT NOT NULL, tenant TEXT NOT NULL, model TEXT NOT NULL,
  type TEXT NOT NULL, status TEXT, finish_reason TEXT, prompt_tokens INTEGER, completion_tokens INTEGER,
  latency_seconds REAL, time_to_first_token_seconds REAL, guard TEXT, traceparent TEXT NOT NULL,
  conversation TEXT NOT NULL, principal TEXT NOT NULL, shadow_of TEXT NOT NULL, time REAL NOT NULL,
  source TEXT NOT NULL, owed TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL
  ) WITHOUT ROWID;
-- It contains what the console counts twice a second: a read of each row would cost most of a core at 1,000 events per second.
CREATE INDEX IF NOT EXISTS events_time ON events (time, side, shadow_of);
CREATE INDEX IF NOT EXISTS events_conversation ON events (conversation, request_id) WHERE conversation <> '';
CREATE TABLE IF NOT EXISTS verdicts (
  event_id TEXT, detector TEXT, version TEXT, side TEXT NOT NULL, flagged INTEGER NOT NULL, label TEXT NOT NULL,
  score REAL NOT NULL, covered REAL NOT NULL, part TEXT NOT NULL, spans TEXT NOT NULL, time REAL NOT NULL,
  PRIMARY KEY (event_id, detector, version)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS verdicts_time ON verdicts (time);
CREATE INDEX IF NOT EXISTS verdicts_flagged ON verdicts (time) WHERE flagged;
CREATE TABLE IF NOT EXISTS explanations (
  event_id TEXT, detector TEXT, version TEXT, method TEXT, base REAL NOT NULL, score REAL NOT NULL,
  attributed INTEGER NOT NULL, words TEXT NOT NULL, time REAL NOT NULL,
  PRIMARY KEY (event_id, detector, version, method)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS explanations_time ON explanations (time);
-- Expected verdicts that are not in the log. Their rows are deleted on arrival, so the table of a healthy stack is small.
-- A verdict is missing when score's tick of the source has passed the time `after`.
CREATE TABLE IF NOT EXISTS unsettled (
  event_id TEXT, detector TEXT, request_id TEXT NOT NULL, tenant TEXT NOT NULL, model TEXT NOT NULL,
  source TEXT NOT NULL, time REAL NOT NULL, after REAL NOT NULL, PRIMARY KEY (event_id, detector)) WITHOUT ROWID;
-- By hour of event time, so that expired events leave the counts.
CREATE TABLE IF NOT EXISTS pairs (
  hour INTEGER, detector TEXT, tenant TEXT, model TEXT, owed INTEGER NOT NULL, settled INTEGER NOT NULL,
  errors INTEGER NOT NULL, PRIMARY KEY (hour, detector, tenant, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (
  hour INTEGER, tenant TEXT, model TEXT, requests INTEGER NOT NULL, ends INTEGER NOT NULL,
  PRIMARY KEY (hour, tenant, model)) WITHOUT ROWID;
-- The sums of these two tables over their hours, for coverage: a week of thousands of tenants has millions of rows.
CREATE TABLE IF NOT EXISTS pair_totals (
  detector TEXT, tenant TEXT, model TEXT, owed INTEGER NOT NULL, settled INTEGER NOT NULL, errors INTEGER NOT NULL,
  PRIMARY KEY (detector, tenant, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS request_totals (
  tenant TEXT, model TEXT, requests INTEGER NOT NULL, ends INTEGER NOT NULL, PRIMARY KEY (tenant, model)) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS pairs_inserted AFTER INSERT ON pairs BEGIN
  INSERT INTO pair_totals VALUES (new.detector, new.tenant, new.model, new.owed, new.settled, new.errors)
    ON CONFLICT DO UPDATE SET owed = owed + new.owed, settled = settled + new.settled, errors = errors + new.errors;
END;
CREATE TRIGGER IF NOT EXISTS pairs_updated AFTER UPDATE ON pairs BEGIN
  UPDATE pair_totals SET owed = owed + new.owed - old.owed, settled = settled + new.settled - old.settled,
    errors = errors + new.errors - old.errors WHERE (detector, tenant, model) = (new.detector, new.tenant, new.model);
END;
CREATE TRIGGER IF NOT EXISTS pairs_deleted AFTER DELETE ON pairs BEGIN
  UPDATE pair_totals SET owed = owed - old.owed, settled = settled - old.settled, errors = errors - old.errors
    WHERE (detector, tenant, model) = (old.detector, old.tenant, old.model);
  DELETE FROM pair_totals WHERE (detector, tenant, model, owed, settled, errors) = (old.detector, old.tenant, old.model, 0, 0, 0);
END;
CREATE TRIGGER IF NOT EXISTS requests_inserted AFTER INSERT ON requests BEGIN
  INSERT INTO request_totals VALUES (new.tenant, new.model, new.requests, new.ends)
    ON CONFLICT DO UPDATE SET requests = requests + new.requests, ends = ends + new.ends;
END;
CREATE TRIGGER IF NOT EXISTS requests_updated AFTER UPDATE ON requests BEGIN
  UPDATE request_totals SET requests = requests + new.requests - old.requests, ends = ends + new.ends - old.ends
    WHERE (tenant, model) = (new.tenant, new.model);
END;
CREATE TRIGGER IF NOT EXISTS requests_deleted AFTER DELETE ON requests BEGIN
  UPDATE request_totals SET requests = requests - old.requests, ends = ends - old.ends
    WHERE (tenant, model) = (old.tenant, old.model);
  DELETE FROM request_totals WHERE (tenant, model, requests, ends) = (old.tenant, old.model, 0, 0);
END;
CREATE TABLE IF NOT EXISTS gaps (
  event_id TEXT PRIMARY KEY, source TEXT NOT NULL, first_number INTEGER NOT NULL, last_number INTEGER NOT NULL,
  count INTEGER NOT NULL, reason TEXT NOT NULL, time REAL NOT NULL, logged REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS gaps_logged ON gaps (logged);
CREATE TABLE IF NOT EXISTS gap_requests (
  request_id TEXT, event_id TEXT, PRIMARY KEY (request_id, event_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sources (
  source TEXT PRIMARY KEY, first_time REAL, capture_time REAL, capture_closed INTEGER NOT NULL DEFAULT 0,
  score_time REAL, score_closed INTEGER NOT NULL DEFAULT 0,
  spool REAL NOT NULL DEFAULT 0, spool_since REAL) WITHOUT ROWID;
-- The newest event with a verdict of each detector, and the later pairs that only have error verdicts.
CREATE TABLE IF NOT EXISTS heard (detector TEXT PRIMARY KEY, time REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failed (
  event_id TEXT, detector TEXT, request_id TEXT NOT NULL, time REAL NOT NULL, PRIMARY KEY (event_id, detector)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS failed_time ON failed (detector, time);
CREATE TABLE IF NOT EXISTS feedback (
  event_id TEXT PRIMARY KEY, request_id TEXT NOT NULL, alert_id TEXT NOT NULL, label TEXT NOT NULL,
  rating TEXT NOT NULL, tenant TEXT NOT NULL, principal TEXT NOT NULL, time REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS feedback_alert ON feedback (alert_id, tenant, label) WHERE alert_id <> '';
CREATE INDEX IF NOT EXISTS feedback_request ON feedback (request_id);
-- What people wrote about an answer: whether there is a better answer, a comment or an approval, and where the text is.
CREATE TABLE IF NOT EXISTS corrections (
  event_id TEXT PRIMARY KEY, request_id TEXT NOT NULL, answer INTEGER NOT NULL, comment INTEGER NOT NULL,
  approved INTEGER NOT NULL, tenant TEXT NOT NULL, principal TEXT NOT NULL, time REAL NOT NULL,
  topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS corrections_request ON corrections (request_id);
-- The newest judgment with each id; a label may be in another partition than its answer.
CREATE TABLE IF NOT EXISTS labels (
  tenant TEXT, label_id TEXT, request_id TEXT NOT NULL, value REAL NOT NULL, at REAL NOT NULL,
  time REAL NOT NULL, PRIMARY KEY (tenant, label_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labels_request ON labels (request_id);
"""

_DECISIONS = """
CREATE TABLE IF NOT EXISTS alerts (
  alert_id TEXT PRIMARY KEY, revision INTEGER NOT NULL, state TEXT NOT NULL, detector TEXT NOT NULL, tenant TEXT NOT NULL,
  model TEXT NOT NULL, side TEXT NOT NULL, opened_at REAL NOT NULL, resolved_at REAL, at REAL NOT NULL,
  traceparent TEXT NOT NULL, record TEXT NOT NULL, severity TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS alerts_stream ON alerts (tenant, model, side, detector, opened_at);
CREATE INDEX IF NOT EXISTS alerts_opened ON alerts (opened_at, alert_id);
CREATE INDEX IF NOT EXISTS alerts_state ON alerts (state, severity);
-- Every record of an alert in the order of arrival. A rebuild from a compacted topic has only the newest.
CREATE TABLE IF NOT EXISTS alert_changes (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, alert_id TEXT NOT NULL, revision INTEGER NOT NULL, state TEXT NOT NULL,
  severity TEXT NOT NULL, at REAL NOT NULL, statistic REAL NOT NULL, bound REAL NOT NULL, score REAL NOT NULL,
  evidence_total INTEGER NOT NULL, UNIQUE (alert_id, revision));
-- The finding of a stream detector in each closed window, and in the newest window of each stream.
CREATE TABLE IF NOT EXISTS windows (
  tenant TEXT, model TEXT, side TEXT, detector TEXT, time REAL, seconds REAL NOT NULL, statistic REAL NOT NULL,
  bound REAL NOT NULL, alarm INTEGER NOT NULL, feature TEXT NOT NULL, events INTEGER NOT NULL, details TEXT NOT NULL,
  PRIMARY KEY (tenant, model, side, detector, time)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS windows_time ON windows (time);
CREATE TABLE IF NOT EXISTS window_streams (
  tenant TEXT, model TEXT, side TEXT, detector TEXT, time REAL NOT NULL, statistic REAL NOT NULL, bound REAL NOT NULL,
  alarm INTEGER NOT NULL, feature TEXT NOT NULL, PRIMARY KEY (tenant, model, side, detector)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alert_evidence (
  request_id TEXT, alert_id TEXT, PRIMARY KEY (request_id, alert_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS silences (
  silence_id TEXT PRIMARY KEY, at REAL NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;
-- `offset` is that of the newest record of the state: the log orders the records of a request, whose times are of several machines.
CREATE TABLE IF NOT EXISTS retraining (
  retraining_id TEXT, state TEXT, at REAL NOT NULL, record TEXT NOT NULL, offset INTEGER NOT NULL,
  PRIMARY KEY (retraining_id, state)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS retraining_at ON retraining (at);
CREATE INDEX IF NOT EXISTS retraining_suppressed ON retraining (at) WHERE state = 'suppressed';
CREATE INDEX IF NOT EXISTS retraining_progress ON retraining (retraining_id) WHERE state <> 'suppressed';
CREATE TABLE IF NOT EXISTS retraining_alerts (
  alert_id TEXT, retraining_id TEXT, PRIMARY KEY (alert_id, retraining_id)) WITHOUT ROWID;
-- The ledger's own alerts until the broker acknowledges them.
CREATE TABLE IF NOT EXISTS outbox (
  alert_id TEXT, revision INTEGER, traceparent TEXT NOT NULL, record TEXT NOT NULL,
  PRIMARY KEY (alert_id, revision)) WITHOUT ROWID;
"""


def open_shard(path: Path | str) -> sqlite3.Connection:
    """Open the file of one inference partition for writing; create it if it is absent."""
    return _open(path, _SHARD)


def open_decisions(path: Path | str) -> sqlite3.Connection:
    """Open the file of alerts, windows and retraining events for writing; create it if it is absent."""
    database = _open(path, _DECISIONS)
    # Change numbers restart with the file, so clients store the number together with this id of the file.
    database.execute("INSERT OR IGNORE INTO meta VALUES ('born', lower(hex(randomblob(8))))")
    return database


def _open(path: Path | str, tables: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    # NORMAL: a power failure can lose the last transactions, rows and offsets together; they are read again.
    database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
    database.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
    database.executescript(_COMMON + tables)
    database.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (str(SCHEMA_VERSION),))
    return database


def open_for_reading(path: Path, timeout: float) -> sqlite3.Connection:
    """Open a file of the ledger for queries; its folders may have any name."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=timeout, isolation_level=None)


def schema_version(path: Path) -> int | None:
    """Return the schema version of the file at `path`, or None if the file is damaged or has no version.

    Raises OperationalError if the file cannot be opened, for example because the disk is full or the file is locked.
    """
    try:
        with closing(open_for_reading(path, timeout=5)) as database:
            row = database.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & _PRIMARY_CODE not in _DAMAGED:
            raise
        return None
    return int(row[0]) if row and row[0].isdigit() else None


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Run the body as one transaction."""
    database.execute("BEGIN IMMEDIATE")
    with database:  # commits; rolls back if the body or the commit fails
        yield database


def named_rows(database: sqlite3.Connection, query: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
    """Return the rows of `query`, with access by column name."""
    cursor = database.cursor()
    cursor.row_factory = sqlite3.Row
    return cursor.execute(query, parameters).fetchall()


def select(
    database: sqlite3.Connection, struct: type[StructT], query: str, parameters: Sequence[Any] = ()
) -> list[StructT]:
    """Return the rows of `query` as instances of `struct`, whose fields have the names of the columns."""
    return [msgspec.convert(row, struct, strict=False) for row in named_rows(database, query, parameters)]
