"""The gateway's part of capture: it records a request before inference, and its end before the last byte of the answer.

A request is accepted when the ``write()`` of its record has returned. The caller's thread appends the record, under the writer's lock. A
second thread syncs the spool and writes ticks, which are heartbeat records (docs/adr/0001-append-inline.md has the measurements).
"""

import contextlib
import secrets
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry

from serving.capture.clock import SourceClock
from serving.capture.event_encoding import Judgment
from serving.capture.metrics import RecorderMetrics
from serving.capture.spool_layout import create_source
from serving.capture.spool_writer import SpoolWriter
from serving.errors import SpoolFull, SpoolUnavailable
from serving.settings import CaptureSettings
from stream.files import FileLock
from stream.wire import RequestRecord, ResponseRecord


class Recorder:
    """Records the requests of one process in a new spool below `root`; `kind` is the prefix of the source's name."""

    def __init__(
        self,
        *,
        root: Path,
        settings: CaptureSettings,
        registry: CollectorRegistry,
        clock: SourceClock | None = None,
        kind: str = "gateway",
    ) -> None:
        self._root = root
        self._kind = kind
        self._settings = settings
        self._metrics = RecorderMetrics(registry, settings.limit_bytes)
        self._clock = clock
        #: Held until :meth:`close`; waiting for a lock takes half of the CPU time of waiting for an Event.
        self._stop = threading.Lock()
        self._stop.acquire()
        self._keeper: threading.Thread | None = None
        self._lock: FileLock | None = None
        self._writer: SpoolWriter | None = None
        self._source = ""

    @property
    def source(self) -> str:
        """The name of this process's spool, ``<kind>-<hex>``; "" before :meth:`start`."""
        return self._source

    def start(self) -> None:
        """Create the spool and write a heartbeat record at each interval; raises SpoolUnavailable."""
        self._source, directory, self._lock = create_source(self._root, self._kind)
        try:
            self._writer = SpoolWriter(directory, self._source, self._settings, clock=self._clock)
            self._writer.tick()
        except OSError as error:
            self._lock.release()
            raise SpoolUnavailable(
                f"the spool {directory} cannot be written: {error.strerror}; free or repair its disk"
            ) from error
        self._metrics.observe(self._writer)
        self._keeper = threading.Thread(target=self._keep, args=(self._writer,), name="spool-keeper", daemon=True)
        self._keeper.start()

    def close(self) -> None:
        """Write an ``aborted`` end for each request without an end, then ``closed``; on a full disk the shipper does this later."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        self._stop.release()
        if self._keeper is not None:
            self._keeper.join()
        with contextlib.suppress(OSError):
            writer.finish()
        with contextlib.suppress(OSError):
            writer.close()
        if self._lock is not None:
            self._lock.release()

    def request(self, record: RequestRecord, *, traceparent: str, tracestate: str = "") -> None:
        """Accept a request; call this before inference. When it returns, the record survives a kill of this process.

        If the spool is full, the policy ``shed`` counts the request in a gap record and returns; the policy ``reject`` raises SpoolFull.
        After SpoolFull, the caller must answer 503 with ``Retry-After: retry_after_seconds``, and record no end.
        """
        began = time.perf_counter()
        try:
            self._running.request(record, traceparent=traceparent, tracestate=tracestate)
        except SpoolFull:
            self._metrics.refused.inc()
            raise
        self._metrics.append_seconds.observe(time.perf_counter() - began)

    def end(self, record: ResponseRecord) -> None:
        """Record the end of a request; call this before the last byte of the answer.

        The event has the trace context of its request. Later ends of the same request are ignored. If the spool is full, the end is
        counted in a gap record and no error is raised. After :meth:`close` this has no effect.
        """
        if self._writer is not None:
            began = time.perf_counter()
            self._writer.end(record)
            self._metrics.append_seconds.observe(time.perf_counter() - began)

    def judge(self, *records: Judgment, conversation_id: str = "", traceparent: str = "") -> None:
        """Record all of feedback, corrections or labels, or none; raises SpoolFull, even with policy ``shed``.

        Pass the request's `conversation_id`, so that the records have the same key as the request.
        """
        identity = secrets.token_hex(8)
        self._running.judge(*records, identity=identity, conversation_id=conversation_id, traceparent=traceparent)

    def writable(self) -> bool:
        """Return whether the next request can be recorded, for ``/readyz``."""
        return self._writer is not None and self._writer.writable

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _running(self) -> SpoolWriter:
        if self._writer is None:
            raise SpoolUnavailable("the recorder is not running; call it between start() and close()")
        return self._writer

    def _keep(self, writer: SpoolWriter) -> None:
        """Until the recorder is closed, sync the spool, write ticks (heartbeat records), and check which segments were unlinked."""
        due = time.monotonic() + self._settings.tick_seconds
        while not self._stop.acquire(timeout=min(self._settings.sync_seconds, self._settings.tick_seconds)):
            now = time.monotonic()
            if now >= due or writer.full:
                writer.recount()
            if now >= due:
                writer.tick()
                due = max(due + self._settings.tick_seconds, now)
            writer.sync()
