"""A gateway of a world: a spool, and the keeper that ticks."""

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
    """Accepts requests as one process; `open` are those without an end."""

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
        """Whether a request would be answered."""
        return self.process.alive and self.process.running.is_set()

    def request(self, name, text, **fields):
        """Accept a request; False where the gateway was killed in the middle of it."""
        record = a_request(name, text, **fields)
        if self._call(partial(self._spool.writer.request, record, traceparent=TRACE)):
            self.open.append(name)
            return True
        return False

    def end(self, name, text, status, **fields):
        """End a request; False where the gateway was killed in the middle of it."""
        self.open.remove(name)
        return self._call(partial(self._spool.writer.end, an_end(name, text, status, **fields)))

    def close(self):
        """End the source in good order; False where the gateway was killed in the middle of it."""
        done = self._call(self._spool.writer.finish)
        self.kill()
        return done

    def kill(self):
        """End the process; the kernel closes its files and gives up its lock."""
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
    """Let whoever writes a spool live in virtual time, take its name from the seed, and be killed in the middle of a write."""
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
