"""A source: the product's Recorder in a separate process, with a journal of the accepted requests.

``python -m chaos.source '{"home": …, "name": …, "seed": …, "rate": …}'``. The source writes a line to the journal after the
recorder's call has returned, so every request in the journal was accepted. SIGTERM stops the source cleanly.
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
from serving.capture.clock import SourceClock
from serving.capture.recorder import Recorder
from serving.errors import SpoolFull
from serving.settings import CaptureSettings

_TRACE = "00-{:032x}-{:016x}-01"


class SourceArgs(msgspec.Struct, frozen=True, kw_only=True):
    """The lab's folder, the name of the process, its traffic, and the settings of its Recorder; request ids begin with `name`."""

    home: str
    name: str
    seed: int = 0
    rate: float = 20.0
    slow_share: float = 0.02
    capture: dict[str, object] = {}


def step_path(home, name):
    """Return the path of the file with the wall-clock step of source process `name`, in seconds."""
    return home / "journal" / f"{name}.step"


class _Source:
    def __init__(self, args: SourceArgs) -> None:
        self._args = args
        home = Path(args.home)
        self._step = step_path(home, args.name)
        path = home / "journal" / f"{args.name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._journal = path.open("a", buffering=1, encoding="utf-8")
        self.recorder = Recorder(
            root=home / "spool",
            settings=CaptureSettings(**args.capture),
            registry=CollectorRegistry(),
            clock=SourceClock(wall=self._wall),
        )

    def _wall(self) -> float:
        try:
            return time.time() + float(self._step.read_text() or 0)
        except OSError:
            return time.time()

    def _say(self, **what: object) -> None:
        self._journal.write(json.dumps(what) + "\n")

    async def run(self, stop: asyncio.Event) -> None:
        self.recorder.start()
        self._say(source=self.recorder.source)
        traffic = Traffic(self._args.name, self._args.seed, slow_share=self._args.slow_share)
        loop = asyncio.get_running_loop()
        due = loop.time()
        async with asyncio.TaskGroup() as tasks:
            while not stop.is_set():
                tasks.create_task(self._exchange(traffic.next()))
                due = max(due + 1 / self._args.rate, loop.time() - 1)
                await asyncio.sleep(max(0.0, due - loop.time()))
        self.recorder.close()
        self._say(closed=True)

    async def _exchange(self, exchange: Exchange) -> None:
        number = zlib.crc32(exchange.request.request_id.encode()) + 1
        trace = _TRACE.format(number, number)
        began = time.perf_counter()
        try:
            self.recorder.request(exchange.request, traceparent=trace)
        except SpoolFull:
            self._say(refused=exchange.request.request_id)
            return
        us = round((time.perf_counter() - began) * 1e6)
        self._say(accepted=exchange.request.request_id, us=us, at=round(time.time(), 3))
        await asyncio.sleep(exchange.seconds)
        self.recorder.end(exchange.end)
        self._say(ended=exchange.request.request_id)


async def _main(args: SourceArgs) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await _Source(args).run(stop)


if __name__ == "__main__":
    mutate("source")
    asyncio.run(_main(msgspec.json.decode(sys.argv[1], type=SourceArgs)))
