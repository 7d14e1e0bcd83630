"""Join the two halves (request and response) of exchanges and drop duplicates, with a small SQLite file beside the spool.

Why this exists: KServe reports an exchange as two events, in any order, and a client that gets no response sends its
items again. A half is acknowledged after it is on disk, and an exchange after it is in the spool, so a crash loses no
accepted item. If the process is killed between the writes to the spool and to this file, an exchange is recorded twice
with the same ids; consumers drop the duplicate.
"""

import logging
import sqlite3
import time
from collections.abc import Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from prometheus_client import CollectorRegistry, Counter, Gauge

from serving.capture.recorder import Recorder
from serving.errors import CaptureError, ServingError, UnreadablePayload
from serving.inference_records import ExpectedVerdicts
from serving.intake.reported_exchange import EVENT, LATEST_SECONDS, SPAN, ReportedExchange, identity_of, records_of
from serving.intake.waiting_halves import WaitingHalves
from serving.settings import IntakeSettings
from stream.telemetry import parent_context, traceparent_of
from stream.wire import RequestRecord, ResponseRecord, semconv

_LOG = logging.getLogger(__name__)
_HALF = msgspec.json.Decoder(ReportedExchange)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS done (identity TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS held (identity TEXT, half TEXT, stored BLOB NOT NULL, at REAL NOT NULL, PRIMARY KEY (identity, half));
CREATE INDEX IF NOT EXISTS held_at ON held (at);
CREATE INDEX IF NOT EXISTS done_at ON done (at);
"""
_DELETE = "DELETE FROM held WHERE identity = ? RETURNING stored"
_OVERDUE_BATCH = 1000
#: Fragments of one exchange; an exporter sends the log records of a span in one or two exports.
_MAX_FRAGMENTS = 64
#: Follow the identity in `done` if the exchange was recorded without this part, which may still arrive.
_WITHOUT = {"answer": " unanswered", "prompt": " unasked"}


class ExchangePairer:
    """Records each exchange when both halves have arrived; `recorder` must have the policy ``reject``, so that clients resend."""

    def __init__(  # noqa: PLR0913 - what it connects
        self,
        path: Path,
        recorder: Recorder,
        expected: ExpectedVerdicts,
        settings: IntakeSettings,
        *,
        tracer: Tracer,
        registry: CollectorRegistry,
    ) -> None:
        self._recorder = recorder
        self._expected = expected
        self._settings = settings
        self._tracer = tracer
        self._path = path
        self._clock_start = time.time() - time.monotonic()
        self._waiting = WaitingHalves(settings)
        try:
            with ExitStack() as on_error:
                self._database = on_error.enter_context(closing(_opened(path)))
                # An earlier process may have had a clock that was ahead.
                self._rows("UPDATE held SET at = min(at, ?)", (self._now(),))
                with closing(self._database.execute("SELECT stored FROM held")) as rows:
                    self._waiting.add(rows)
                on_error.pop_all()
        except sqlite3.Error as error:
            raise _unusable(path, error) from error
        gauge = Gauge("weir_intake_held_halves", "Halves of exchanges that wait for the other half", registry=registry)
        gauge.set_function(lambda: self._waiting.total)
        self._unreadable = Counter(
            "weir_intake_unreadable_halves",
            "Stored halves that could not be decoded and were dropped",
            registry=registry,
        )

    def close(self) -> None:
        """Close the file; waiting halves stay in it for the next start."""
        self._database.close()

    async def add(self, exchange: ReportedExchange) -> bool:
        """Record an exchange, or store a half; return whether the item is new. After the return, a crash does not lose the item.

        Raises CaptureError if the spool is full, HalvesFull if too many halves of the tenant wait; the client must then send the item again.
        Raises UnreadablePayload if the exchange has too many fragments.
        """
        # Consumers drop a second record with the same id, so a late part is recorded as another request.
        while (part := self._recorded_without(exchange.identity)) and (
            exchange.missing != part or exchange.fragment == SPAN
        ):
            exchange = msgspec.structs.replace(exchange, identity=identity_of(exchange.identity, part))
        if part or self._is_done(exchange.identity):
            if not self._is_late(exchange):
                return False
            identity = identity_of(exchange.identity, exchange.fragment)
            return await self.add(msgspec.structs.replace(exchange, identity=identity))
        if exchange.whole:
            self._record(exchange)
            return True
        is_new = self._store(exchange)
        self._record_pair(exchange.identity)
        return is_new

    async def record_overdue(self) -> int:
        """Record the halves that have waited too long, and forget the ids of old exchanges; return the number of dropped spans.

        A span without content is dropped. A half that cannot be decoded is dropped and counted, so that it does not stop the others.
        The checkpoint at the end overwrites deleted rows, so the text of recorded halves is removed from the disk.
        """
        now = self._now()
        query = "SELECT DISTINCT identity FROM held WHERE at <= ? ORDER BY at LIMIT ?"
        overdue = self._rows(query, (now - self._settings.pair_seconds, _OVERDUE_BATCH))
        dropped = 0
        for (identity,) in overdue:
            if not (halves := self._halves(identity)):
                continue
            exchange = _joined(halves)
            if exchange.fragment and not exchange.has_content:
                self._waiting.remove(self._rows(_DELETE, (identity,)))
                dropped += 1
            elif not self._try_record(exchange):
                break
        self._rows("UPDATE done SET at = ?1 WHERE at > ?1", (now,))  # as for `held` at the start
        self._rows("DELETE FROM done WHERE at < ?", (now - self._settings.remember_hours * 3600,))
        self._rows("PRAGMA wal_checkpoint(TRUNCATE)")  # free if nothing was written
        return dropped

    def _now(self) -> float:
        """Return the wall-clock time without its steps since the start, so that a step expires no half."""
        return self._clock_start + time.monotonic()

    def _store(self, exchange: ReportedExchange) -> bool:
        half = exchange.fragment or ("request" if exchange.request is not None else "response")
        halves = self._halves(exchange.identity)
        if len(halves) >= _MAX_FRAGMENTS:
            raise UnreadablePayload(
                f"the log records of one span came in {len(halves)} exports, the limit; export larger batches"
            )
        stored = msgspec.json.encode(exchange)
        completes = _is_complete([*halves, exchange])
        self._waiting.check(exchange.origin.tenant, len(stored), known=bool(halves), completes=completes)
        row = (exchange.identity, half, stored, self._now())
        added = self._rows("INSERT OR IGNORE INTO held VALUES (?, ?, ?, ?) RETURNING stored", row)
        self._waiting.add(added)
        return bool(added)

    def _halves(self, identity: str) -> list[ReportedExchange]:
        """Return the stored halves in the order of their arrival; drop those that cannot be decoded."""
        halves = []
        query = "SELECT rowid, stored FROM held WHERE identity = ? ORDER BY rowid"
        for row, stored in self._rows(query, (identity,)):
            try:
                halves.append(_HALF.decode(stored))
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                # Of another version, or damaged. The error's message may contain text of the half.
                _LOG.error("a stored half of exchange %s is unreadable and dropped: %s", identity, type(error).__name__)
                self._rows("DELETE FROM held WHERE rowid = ?", (row,))
                self._waiting.remove([(stored,)])
                self._unreadable.inc()
        return halves

    def _record_pair(self, identity: str) -> None:
        """Record the stored halves if all have arrived."""
        halves = self._halves(identity)
        if _is_complete(halves):
            self._try_record(_joined(halves))

    def _try_record(self, exchange: ReportedExchange) -> bool:
        """Record an exchange whose halves are stored; return False if the spool is full."""
        try:
            self._record(exchange)
        except CaptureError as error:  # the halves are stored, and the next call records them
            _LOG.warning("exchange %s waits: %s", exchange.identity, error)
            return False
        return True

    def _record(self, exchange: ReportedExchange) -> None:
        request, response = records_of(exchange, self._expected)
        done = exchange.identity + _WITHOUT.get(exchange.missing, "")
        self._recorder.request(request, traceparent=self._span(exchange, request, response))
        self._recorder.end(response)
        self._rows("BEGIN IMMEDIATE")
        with self._database:  # commits, or rolls back on an error
            self._rows("INSERT OR IGNORE INTO done VALUES (?, ?)", (done, self._now()))
            if exchange.fragment:
                query = "INSERT OR IGNORE INTO done SELECT identity || ' ' || half, ? FROM held WHERE identity = ?"
                self._rows(query, (self._now(), exchange.identity))
            removed = self._rows(_DELETE, (exchange.identity,))
        self._waiting.remove(removed)

    def _span(self, exchange: ReportedExchange, request: RequestRecord, response: ResponseRecord) -> str:
        """Create a span with the reported times of the exchange; return its ``traceparent``."""
        began = _nanoseconds(exchange.request.at if exchange.request is not None else 0.0)
        ended = _nanoseconds(exchange.response.at if exchange.response is not None else 0.0)
        span = self._tracer.start_span(
            f"{request.operation} {request.model}",
            context=parent_context(exchange.origin.traceparent),
            kind=SpanKind.INTERNAL,
            attributes={
                semconv.GEN_AI_OPERATION_NAME: request.operation,
                semconv.GEN_AI_PROVIDER_NAME: "weir.intake",
                semconv.GEN_AI_REQUEST_MODEL: request.model,
                semconv.WEIR_REQUEST_ID: request.request_id,
                semconv.WEIR_TENANT: request.tenant,
            },
            start_time=began,
        )
        if response.error is not None:
            span.set_attribute(semconv.ERROR_TYPE, response.error.kind)
            span.set_status(Status(StatusCode.ERROR, response.error.kind))
        span.end(max(began, ended) if began and ended else None)
        return traceparent_of(span)

    def _recorded_without(self, identity: str) -> str:
        """Return the part without which the exchange was recorded, or ""."""
        return next((part for part, suffix in _WITHOUT.items() if self._is_done(identity + suffix)), "")

    def _is_late(self, exchange: ReportedExchange) -> bool:
        """Return whether `exchange` is log records that are not in its recorded exchange, which consists of other fragments."""
        if exchange.fragment in {"", SPAN, EVENT}:
            return False
        query = "SELECT identity FROM done WHERE identity > ? AND identity < ?"  # "!" follows the space
        recorded = [one for (one,) in self._rows(query, (f"{exchange.identity} ", f"{exchange.identity}!"))]
        return bool(recorded) and f"{exchange.identity} {exchange.fragment}" not in recorded

    def _is_done(self, identity: str) -> bool:
        return bool(self._rows("SELECT 1 FROM done WHERE identity = ?", (identity,)))

    def _rows(self, query: str, values: Iterable[object] = ()) -> list[tuple[Any, ...]]:
        try:
            with closing(self._database.execute(query, tuple(values))) as cursor:
                return cursor.fetchall()
        except sqlite3.OperationalError:  # the disk is full; a later call can succeed
            raise
        except sqlite3.DatabaseError as error:
            raise _unusable(self._path, error) from error


def _is_complete(halves: list[ReportedExchange]) -> bool:
    """Return whether `halves` are a whole exchange: both halves, or a span, its prompt and the choices that it announces.

    Exports of log records can overtake each other, so the choices do not show that the prompt has arrived.
    """
    spans = [half for half in halves if half.fragment == SPAN]
    if not any(half.fragment for half in halves):
        return len(halves) == 2
    if not spans:
        return False
    if any(half.fragment == EVENT for half in halves):
        return True
    asked = any(half.request.messages for half in halves if half.request is not None)
    choices = sum(len(half.response.choices) for half in halves if half.response is not None)
    return asked and choices >= spans[0].expected_choices


def _joined(halves: list[ReportedExchange]) -> ReportedExchange:
    """Return the exchange of `halves`, in the order of their arrival; if there is a span, names, times and counts are from the span."""
    ordered = sorted(halves, key=lambda half: half.fragment != SPAN)
    requests = [half.request for half in ordered if half.request is not None]
    responses = [half.response for half in ordered if half.response is not None]
    request = response = None
    if requests:
        messages = tuple(message for part in requests for message in part.messages)
        tools = next((part.tools for part in requests if part.tools), ())
        # Only the span says whether the person opted out. Without it, the texts are not for training.
        training = ordered[0].fragment in {"", SPAN} and all(part.training for part in requests)
        request = msgspec.structs.replace(requests[0], messages=messages, tools=tools, training=training)
    if responses:
        choices = tuple(choice for part in responses for choice in part.choices)
        response = msgspec.structs.replace(responses[0], choices=choices)
    return msgspec.structs.replace(ordered[0], request=request, response=response)


def _unusable(path: Path, error: sqlite3.Error) -> ServingError:
    return ServingError(
        f"intake cannot use {path}: {error}; correct the rights or free disk space. If the file is damaged, stop intake and move it"
        " away, with its -wal and -shm files: the halves that wait in it are lost"
    )


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    with ExitStack() as on_error:
        database = on_error.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "secure_delete = ON"):
            database.execute(f"PRAGMA {pragma}").close()
        database.executescript(_SCHEMA).close()
        on_error.pop_all()
    return database


def _nanoseconds(at: float) -> int | None:
    """Return `at` (seconds) in nanoseconds, rounded to a microsecond; None if it is 0 or too large for a span."""
    return round(at * 1_000_000) * 1_000 if 0 < at < LATEST_SECONDS else None
