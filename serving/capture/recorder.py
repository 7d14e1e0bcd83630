"""The gateway's side of capture: record a request before inference, and its end before the last byte.

Why this exists: accepted means that the request record's ``write()`` returned before inference began (design decision 1). The
append is made where it is asked for, under the writer's lock, and a keeper thread syncs and ticks beside it
(docs/adr/0001-append-inline.md has the figures).
"""

import contextlib
import secrets
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry

from serving.capture.balance import Balance, SourceReader
from serving.capture.clock import SourceClock
from serving.capture.metrics import RecorderMetrics
from serving.capture.spool_layout import create_source
from serving.capture.spool_writer import Bounds, SpoolWriter
from serving.errors import SpoolFull, SpoolUnavailable
from serving.settings import CaptureSettings
from stream.files import FileLock
from stream.wire import Feedback, RequestRecord, ResponseRecord

__all__ = ["Recorder"]


class Recorder:
    """Records what one gateway process serves, in a spool of its own.

    Parameters
    ----------
    root
        ``$WEIR_HOME/spool``; made if it is not there.
    settings
        Limits and policy of the spool.
    registry
        Where its metrics go.
    clock
        Of event times; the wall clock, never going back, by default.
    kind
        What its source is named after: ``gateway``, ``intake``.

    Examples
    --------
    >>> recorder = Recorder(root=root, settings=CaptureSettings(), registry=registry)  # doctest: +SKIP
    >>> recorder.start()  # doctest: +SKIP
    >>> await recorder.request(record, traceparent=parent)  # doctest: +SKIP
    >>> await recorder.end(response, traceparent=parent)  # doctest: +SKIP
    """

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
        self._stop = threading.Event()
        self._keeper: threading.Thread | None = None
        self._lock: FileLock | None = None
        self._writer: SpoolWriter | None = None
        self._reader: SourceReader | None = None
        self._source = ""

    @property
    def source(self) -> str:
        """The name of this process's spool, ``<kind>-<hex>``; "" before :meth:`start`."""
        return self._source

    def start(self) -> None:
        """Make the spool and begin to tick.

        Raises
        ------
        SpoolUnavailable
            The directory cannot be made or written; the message names it and the remedy.
        """
        self._source, directory, self._lock = create_source(self._root, self._kind)
        try:
            self._writer = SpoolWriter(directory, self._source, bounds=_bounds(self._settings), clock=self._clock)
            self._writer.tick()
        except OSError as error:
            self._lock.release()
            raise SpoolUnavailable(
                f"the spool {directory} cannot be written: {error.strerror}; free the disk"
            ) from error
        self._reader = SourceReader(directory)
        self._metrics.observe(self._writer)
        self._keeper = threading.Thread(target=self._keep, args=(self._writer,), name="spool-keeper", daemon=True)
        self._keeper.start()

    def close(self) -> None:
        """End the source: ``aborted`` for what has no end, then ``closed``; idempotent.

        On a full disk the shipper, which adopts the spool, does it later.
        """
        writer, self._writer = self._writer, None
        if writer is None:
            return
        self._stop.set()
        if self._keeper is not None:
            self._keeper.join()
        with contextlib.suppress(OSError):
            writer.finish()
        with contextlib.suppress(OSError):
            writer.close()
        if self._lock is not None:
            self._lock.release()

    async def request(self, record: RequestRecord, *, traceparent: str, tracestate: str = "") -> None:
        """Accept a request; call it before inference. When it returns, the record survives a kill of this process.

        Under the policy ``shed`` it returns also when there is no room: the request is served and counted in a gap record.

        Parameters
        ----------
        record
            The request; `number` is set here.
        traceparent, tracestate
            Context of the request's ``chat`` span.

        Raises
        ------
        SpoolFull
            Not accepted (policy ``reject``): answer 503 with ``Retry-After: retry_after_seconds``, and record no end.
        """
        began = time.perf_counter()
        try:
            self._running.request(record, traceparent=traceparent, tracestate=tracestate)
        except SpoolFull:
            self._metrics.refused.inc()
            raise
        self._metrics.append_seconds.observe(time.perf_counter() - began)

    async def end(self, record: ResponseRecord, *, traceparent: str = "") -> None:
        """Record how a request ended; call it before the last byte. See :meth:`end_nowait`."""
        self.end_nowait(record, traceparent=traceparent)

    def end_nowait(self, record: ResponseRecord, *, traceparent: str = "") -> None:
        """Record how a request ended, synchronously: for a ``finally`` after ``CancelledError``.

        The first end of a request counts, later ones do nothing, so a ``finally`` may always call it. It never raises for want of
        room: what cannot be appended is counted in a gap record. After :meth:`close` it does nothing.

        Parameters
        ----------
        record
            The end; `number` is set here. A `status` of ``aborted`` goes out under its own event type.
        traceparent
            Context of the request's ``chat`` span; by default the one given with the request.
        """
        if self._writer is not None:
            began = time.perf_counter()
            self._writer.end(record, traceparent=traceparent)
            self._metrics.append_seconds.observe(time.perf_counter() - began)

    async def feedback(self, record: Feedback, *, conversation_id: str = "", traceparent: str = "") -> None:
        """Record a judgement, bound for ``weir.feedback``; it is keyed like the request when `conversation_id` is the request's.

        Raises
        ------
        SpoolFull
            There is no room, whatever the policy: answer 503, the client can send it again.
        """
        identity = secrets.token_hex(8)
        self._running.feedback(record, identity=identity, conversation_id=conversation_id, traceparent=traceparent)

    def writable(self) -> bool:
        """Whether the next request can be served: for ``/readyz``."""
        return self._writer is not None and self._writer.writable

    def balance(self) -> Balance:
        """Return the balance of this source."""
        return self._reader.read() if self._reader is not None else Balance()

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
            raise SpoolUnavailable("the recorder is not running; call start() first, and nothing after close()")
        return self._writer

    def _keep(self, writer: SpoolWriter) -> None:
        """Sync what was appended, tick, and learn what was freed, until the recorder is closed."""
        due = time.monotonic() + self._settings.tick_seconds
        while not self._stop.wait(self._settings.sync_seconds):
            now = time.monotonic()
            if now >= due or writer.full:
                writer.recount()
            if now >= due:
                writer.tick()
                due = max(due + self._settings.tick_seconds, now)
            writer.sync()


def _bounds(settings: CaptureSettings) -> Bounds:
    return Bounds(
        limit_bytes=settings.limit_bytes,
        segment_bytes=settings.segment_bytes,
        end_reserve_bytes=settings.end_reserve_bytes,
        on_full=settings.on_full,
    )
