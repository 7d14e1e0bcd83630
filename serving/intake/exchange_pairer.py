"""Where exchanges become whole and repeats are known again: a small SQLite file beside the spool.

Why this exists: KServe tells an exchange in two events, in any order, and whoever gets no answer sends again. A half is on the disk before
it is answered for, an exchange is in the spool before it is; so whatever dies, nothing that was taken is lost, and what was taken twice
is written once. (A kill between the spool and this file writes it a second time, under the same ids, which changes nothing.)
"""

import logging
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from opentelemetry.trace import SpanKind, Tracer
from prometheus_client import CollectorRegistry, Gauge

from serving.capture.recorder import Recorder
from serving.errors import CaptureError
from serving.intake.errors import HeldFull
from serving.intake.reported_exchange import LATEST_SECONDS, Owed, Told, records_of
from stream.telemetry import parent_context, traceparent_of
from stream.wire import RequestRecord, semconv

__all__ = ["Desk"]

_LOG = logging.getLogger(__name__)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS done (identity TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS held (identity TEXT, half TEXT, told BLOB NOT NULL, at REAL NOT NULL, PRIMARY KEY (identity, half));
CREATE INDEX IF NOT EXISTS held_at ON held (at);
CREATE INDEX IF NOT EXISTS done_at ON done (at);
"""
_TOLD = msgspec.json.Decoder(Told)


class Desk:
    """Takes exchanges and halves of them, and records what is whole.

    Parameters
    ----------
    path
        The SQLite file; a kill of this process takes nothing from it.
    recorder
        Of this process, running; under the policy ``reject``, since a sender can send again.
    owed
        What is owed of texts.
    tracer
        Gives each exchange a span, the parent of its verdicts'.
    registry
        Gets ``weir_intake_held_halves``.
    pair_seconds
        How long a half waits for the other; then it is recorded alone.
    remember_seconds
        How long repeats are known again.
    held_limit
        Halves that wait, at most.
    """

    def __init__(  # noqa: PLR0913 - what it stands between, and its bounds
        self,
        path: Path,
        recorder: Recorder,
        owed: Owed,
        *,
        tracer: Tracer,
        registry: CollectorRegistry,
        pair_seconds: float = 60.0,
        remember_seconds: float = 86_400.0,
        held_limit: int = 100_000,
    ) -> None:
        self._recorder = recorder
        self._owed = owed
        self._tracer = tracer
        self._pair_seconds = pair_seconds
        self._remember_seconds = remember_seconds
        self._held_limit = held_limit
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._database = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "secure_delete = ON"):
            self._database.execute(f"PRAGMA {pragma}").close()
        self._database.executescript(_SCHEMA).close()
        self._held = len(self._rows("SELECT 1 FROM held"))
        held = Gauge("weir_intake_held_halves", "Halves of exchanges that wait for the other", registry=registry)
        held.set_function(lambda: self._held)

    def close(self) -> None:
        """Close the file; what is held stays for the next start."""
        self._database.close()

    @property
    def held(self) -> int:
        """How many halves wait."""
        return self._held

    async def take(self, told: Told) -> bool:
        """Take what was told; True where it is new. When it returns, a kill of this process loses none of it.

        Raises
        ------
        CaptureError
            The spool takes no more; nothing was taken, send it again.
        HeldFull
            No more halves can wait; send it again.
        """
        if self._is_done(told.identity):
            return False
        if told.whole:
            await self._record(told)
            return True
        fresh = self._hold(told)
        await self._record_pair(told.identity)
        return fresh

    async def settle(self) -> int:
        """Record the halves that waited too long, and forget old repeats; return how many exchanges were recorded.

        The write-ahead log is emptied into the file, which overwrites what was deleted: texts of what is recorded leave the disk here,
        and a power cut takes no half that was there before.
        """
        oldest = time.time() - self._pair_seconds
        due = self._rows("SELECT DISTINCT identity FROM held WHERE at <= ? ORDER BY at LIMIT 1000", (oldest,))
        settled = 0
        for (identity,) in due:
            if not await self._record_pair(identity, alone=True):
                break
            settled += 1
        self._rows("DELETE FROM done WHERE at < ?", (time.time() - self._remember_seconds,))
        self._rows("PRAGMA wal_checkpoint(TRUNCATE)")  # costs nothing where nothing was written
        return settled

    def _hold(self, told: Told) -> bool:
        half = "asked" if told.asked is not None else "answered"
        if self._held >= self._held_limit and not self._rows("SELECT 1 FROM held WHERE identity = ?", (told.identity,)):
            raise HeldFull(
                f"{self._held_limit} halves of exchanges wait for the other, the most that are held (intake.held_limit);"
                " send it again, or let KServe log both halves (mode: all)"
            )
        row = (told.identity, half, msgspec.json.encode(told), time.time())
        with closing(self._database.execute("INSERT OR IGNORE INTO held VALUES (?, ?, ?, ?)", row)) as cursor:
            self._held += cursor.rowcount
            return cursor.rowcount == 1

    async def _record_pair(self, identity: str, *, alone: bool = False) -> bool:
        """Record the held halves of an exchange, both, or with `alone` what there is; False where the spool takes no more."""
        halves = [_TOLD.decode(row[0]) for row in self._rows("SELECT told FROM held WHERE identity = ?", (identity,))]
        if len(halves) < 2 and not (alone and halves):
            return True
        whole = halves[0]
        for half in halves[1:]:
            whole = msgspec.structs.replace(
                whole, asked=whole.asked or half.asked, answered=whole.answered or half.answered
            )
        try:
            await self._record(whole)
        except CaptureError as full:  # it is held: it goes with a later look
            _LOG.warning("exchange %s waits: %s", identity, full)
            return False
        return True

    async def _record(self, told: Told) -> None:
        request, response = records_of(told, self._owed)
        traceparent = self._span(told, request)
        await self._recorder.request(request, traceparent=traceparent)
        await self._recorder.end(response, traceparent=traceparent)
        self._database.execute("BEGIN IMMEDIATE").close()
        with self._database:  # commits; rolls back what failed, so that the next one can begin
            self._rows("INSERT OR IGNORE INTO done VALUES (?, ?)", (told.identity, time.time()))
            gone = self._rows("DELETE FROM held WHERE identity = ? RETURNING 1", (told.identity,))
        self._held -= len(gone)

    def _span(self, told: Told, request: RequestRecord) -> str:
        """Give the exchange its span, at the times that were told; return its ``traceparent``."""
        began = _nanoseconds(told.asked.at if told.asked is not None else 0.0)
        ended = _nanoseconds(told.answered.at if told.answered is not None else 0.0)
        span = self._tracer.start_span(
            f"{request.operation} {request.model}",
            context=parent_context(told.sender.traceparent),
            kind=SpanKind.INTERNAL,
            attributes={
                semconv.GEN_AI_OPERATION_NAME: request.operation,
                semconv.GEN_AI_REQUEST_MODEL: request.model,
                semconv.WEIR_REQUEST_ID: request.request_id,
                semconv.WEIR_TENANT: request.tenant,
            },
            start_time=began,
        )
        span.end(max(began, ended) if began and ended else None)
        return traceparent_of(span)

    def _is_done(self, identity: str) -> bool:
        return bool(self._rows("SELECT 1 FROM done WHERE identity = ?", (identity,)))

    def _rows(self, query: str, values: Iterable[object] = ()) -> list[tuple[Any, ...]]:
        with closing(self._database.execute(query, tuple(values))) as cursor:
            return cursor.fetchall()


def _nanoseconds(at: float) -> int | None:
    """Return a span's time, exact to the microsecond; None where nobody said when, or said what no clock of ours shows."""
    return round(at * 1_000_000) * 1_000 if 0 < at < LATEST_SECONDS else None
