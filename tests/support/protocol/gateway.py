"""A gateway of a world: a spool, and the task that recounts, ticks and syncs it."""

import asyncio
import os
import random
from contextlib import contextmanager
from functools import partial
from unittest import mock

import serving.capture.segment_writer
import serving.capture.spool_layout
import serving.capture.spool_writer
from serving.capture.clock import SourceClock
from support.protocol.virtual_time import CURRENT, ProcessKilled
from support.spool import TRACE, Spool, a_request, an_end

_TICK_SECONDS = 1.0


class Gateway:
    """Accepts requests as one process; `open` has the names of the requests without an end."""

    def __init__(self, process, root, settings, skew, on_end):
        loop = process.loop
        self.process = process
        clock = SourceClock(wall=lambda: loop.time() + skew, monotonic=loop.time)
        self._spool = Spool(root, settings, clock=clock)
        self.source = self._spool.source
        self.open: list[str] = []
        self._on_end = on_end
        self._held = True
        process.spawn(self._keep())

    @property
    def serves(self):
        """Whether the process is alive and not suspended."""
        return self.process.alive and self.process.running.is_set()

    def request(self, name, text, **fields):
        """Accept a request; return False if the gateway was killed during the write."""
        record = a_request(name, text, **fields)
        if self._call(partial(self._spool.writer.request, record, traceparent=TRACE)):
            self.open.append(name)
            return True
        return False

    def end(self, name, text, status, **fields):
        """End a request; return False if the gateway was killed during the write."""
        self.open.remove(name)
        return self._call(partial(self._spool.writer.end, an_end(name, text, status, **fields)))

    def close(self):
        """Close the source cleanly; return False if the gateway was killed during a write."""
        done = self._call(self._spool.writer.finish)
        self.kill()
        return done

    def kill(self):
        """Kill the process; as the kernel does, close its files and release its lock."""
        self.process.kill()
        if self._held:
            self._held = False
            self._on_end(self)
            self._spool.kill()

    def _call(self, act):
        try:
            self.process.within(act)
        except ProcessKilled:
            self.kill()
            return False
        return True

    async def _keep(self):
        writer = self._spool.writer
        while self._call(writer.recount) and self._call(writer.tick) and self._call(writer.sync):
            await asyncio.sleep(_TICK_SECONDS)
            await self.process.turn()


@contextmanager
def virtual_disk(loop, seed):
    """Patch the writers of spools: virtual time, source names from the seed, and kills in the middle of a write."""
    draws, write = random.Random(f"disk {seed}"), serving.capture.segment_writer._write_whole

    def write_or_die(handle, data):
        process = CURRENT.get()
        if process is not None and process.write_fuse is not None:
            process.write_fuse -= 1
            if process.write_fuse <= 0:
                os.write(handle, data[: draws.choice((0, draws.randint(0, len(data)), len(data)))])
                process.kill()
                raise ProcessKilled
        write(handle, data)

    clock = partial(SourceClock, wall=loop.time, monotonic=loop.time)
    names = mock.Mock(token_hex=lambda size: draws.randbytes(size).hex())
    with (
        mock.patch.object(serving.capture.segment_writer, "_write_whole", write_or_die),
        mock.patch.object(serving.capture.spool_writer, "SourceClock", clock),
        mock.patch.object(serving.capture.spool_layout, "secrets", names),
    ):
        yield
