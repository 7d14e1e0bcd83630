"""A source: the product's Recorder in a process of its own, with a journal of what it was told was accepted.

``python -m chaos.source '{"home": …, "name": …, "seed": …, "rate": …}'``. A line of the journal is written after the call of the
recorder that it is about has returned, so that whatever is in the journal was accepted. SIGTERM ends the source in order.
"""

import asyncio
import json
import signal
import sys
import time
import zlib
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry

from chaos.mutations import mutate
from chaos.traffic import Exchange, Traffic
from serving.capture import Recorder
from serving.capture.clock import SourceClock
from serving.errors import SpoolFull
from serving.settings import CaptureSettings
from weir.component.process import spool_root

__all__ = ["SourceArgs", "journal_path", "step_path"]

_TRACE = "00-{:032x}-{:016x}-01"


class SourceArgs(msgspec.Struct, frozen=True, kw_only=True):
    """What a source is told.

    Parameters
    ----------
    home, name
        The lab's folder, and the name of this process: its journal's, and the beginning of its request ids.
    seed, rate, slow_share
        Of its traffic; `rate` in requests a second.
    capture
        Settings of its Recorder.
    spool
        The spool's root; "" is the home's.
    """

    home: str
    name: str
    seed: int = 0
    rate: float = 20.0
    slow_share: float = 0.02
    capture: dict[str, object] = {}
    spool: str = ""


def journal_path(home: Path, name: str) -> Path:
    """Return the journal of source process `name`."""
    return home / "journal" / f"{name}.jsonl"


def step_path(home: Path, name: str) -> Path:
    """Return the file that holds the step of the wall clock of source process `name`."""
    return home / "journal" / f"{name}.step"


class _Source:
    def __init__(self, args: SourceArgs) -> None:
        self._args = args
        home = Path(args.home)
        self._step = step_path(home, args.name)
        path = journal_path(home, args.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._journal = path.open("a", buffering=1, encoding="utf-8")
        self.recorder = Recorder(
            root=Path(args.spool) if args.spool else spool_root(home),
            settings=CaptureSettings(**args.capture),
            registry=CollectorRegistry(),
            clock=SourceClock(wall=self._wall),
        )
        self._flight: set[asyncio.Task[None]] = set()

    def _wall(self) -> float:
        try:
            return time.time() + float(self._step.read_text() or 0)
        except OSError:
            return time.time()

    def _say(self, **what: object) -> None:
        self._journal.write(json.dumps(what) + "\n")

    async def run(self, stop: asyncio.Event) -> None:
        """Send exchanges until `stop`, then end those under way and close."""
        self.recorder.start()
        self._say(source=self.recorder.source)
        traffic = Traffic(self._args.name, self._args.seed, slow_share=self._args.slow_share)
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not stop.is_set():
            task = asyncio.create_task(self._exchange(traffic.next()))
            self._flight.add(task)
            task.add_done_callback(self._flight.discard)
            due = max(due + 1 / self._args.rate, loop.time() - 1)
            await asyncio.sleep(max(0.0, due - loop.time()))
            _raise_failures(self._flight)
        await asyncio.gather(*self._flight)
        self.recorder.close()
        self._say(closed=True)

    async def _exchange(self, exchange: Exchange) -> None:
        number = zlib.crc32(exchange.request.request_id.encode()) + 1
        trace = _TRACE.format(number, number)
        began = time.perf_counter()
        try:
            await self.recorder.request(exchange.request, traceparent=trace)
        except SpoolFull:
            self._say(refused=exchange.request.request_id)
            return
        us = round((time.perf_counter() - began) * 1e6)
        self._say(accepted=exchange.request.request_id, us=us, at=round(time.time(), 3))
        await asyncio.sleep(exchange.seconds)
        await self.recorder.end(exchange.end, traceparent=trace)
        self._say(ended=exchange.request.request_id)


def _raise_failures(tasks: "set[asyncio.Task[None]]") -> None:
    for task in tuple(tasks):
        if task.done() and (error := task.exception()) is not None:
            raise error


async def _main(args: SourceArgs) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await _Source(args).run(stop)


if __name__ == "__main__":
    mutate("source")
    asyncio.run(_main(msgspec.json.decode(sys.argv[1], type=SourceArgs)))
