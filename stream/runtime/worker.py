"""Runs an app until a signal: waits for the broker, starts, watches, stops, returns an exit status."""

import asyncio
import gc
import logging
import signal
import threading
from typing import Any

import faust

from stream.errors import TopicMismatch
from stream.kafka.topic_checks import wait_for_topics
from stream.runtime.app import BaseApp
from stream.runtime.membership import Membership
from stream.runtime.watchdog import EXIT_STALLED, Watchdog, end_process

__all__ = ["EXIT_CONFIG", "EXIT_STALLED", "run"]

EXIT_CONFIG = 78

_log = logging.getLogger(__name__)
_STOP_SECONDS = 10.0
_BEAT_SECONDS = 0.5


def run(app: BaseApp) -> int:
    """Run `app` in the main thread until SIGTERM or SIGINT; blocks.

    Returns 0 after a signal, :data:`EXIT_CONFIG` if a topic has another partition count, else 1. A
    worker that stalls, or does not stop within 10 s, ends its process with
    :data:`~stream.runtime.watchdog.EXIT_STALLED`.
    """
    # The modules and the app stay until the end. Without this, each full collection reads their 100,000 objects.
    gc.collect()
    gc.freeze()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    membership = Membership(app.conf.datadir, app.conf.id)
    try:
        if not loop.run_until_complete(_prepare(app, membership)):
            return 0
    except TopicMismatch as error:
        _log.critical("%s", error)
        return EXIT_CONFIG
    worker = _Worker(app, membership, loop=loop, quiet=True, override_logging=False)
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        worker.stopped_in_time()
        membership.close()


async def _prepare(app: BaseApp, membership: Membership) -> bool:
    """Wait for the topics, and remove a killed predecessor from the group; return False after a signal."""
    loop = asyncio.get_running_loop()
    waiting = asyncio.ensure_future(_ready(app, membership))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, waiting.cancel)
    try:
        await waiting
    except asyncio.CancelledError:
        return False
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    return True


async def _ready(app: BaseApp, membership: Membership) -> None:
    options = app.kafka.client_options()
    await wait_for_topics(options, app.sources)
    await membership.remove_predecessor(options)


class _Worker(faust.Worker):
    """Faust's worker, with a heartbeat and a watchdog that start before recovery, and a time limit for stopping."""

    app: BaseApp

    def __init__(self, app: BaseApp, membership: Membership, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self._membership = membership
        self.spinner = None
        self._side_tasks: list[asyncio.Task[None]] = []
        self._last_resort = threading.Timer(_STOP_SECONDS, end_process, ("not stopped within 10 s",))
        self._last_resort.daemon = True

    async def on_start(self) -> None:
        """Start the tasks that must run while recovery hangs."""
        await super().on_start()
        self._side_tasks = [asyncio.ensure_future(self._beat()), asyncio.ensure_future(Watchdog(self.app).run())]
        for task in self._side_tasks:
            task.add_done_callback(self._side_task_ended)

    def _side_task_ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            end_process(f"a side task of the worker failed: {error!r}")

    async def on_stop(self) -> None:
        """Cancel the heartbeat and the watchdog."""
        for task in self._side_tasks:
            task.cancel()
        await asyncio.gather(*self._side_tasks, return_exceptions=True)
        await super().on_stop()

    def on_worker_shutdown(self) -> None:
        """Start the timer that ends the process if the worker does not stop in time."""
        self._begin_stop()

    def stopped_in_time(self) -> None:
        """Cancel the timer that :meth:`on_worker_shutdown` started."""
        self._last_resort.cancel()

    def _begin_stop(self) -> None:
        if self._last_resort.ident is None:
            self._last_resort.start()

    def _schedule_shutdown(self, signal: Any) -> None:
        self._begin_stop()
        super()._schedule_shutdown(signal)

    async def _beat(self) -> None:
        while True:
            self.app.beat()
            if (consumer := self.app.started_consumer) is not None:
                self._membership.keep(consumer.member_id)
            await asyncio.sleep(_BEAT_SECONDS)

    async def on_execute(self) -> None:
        """Leave the title of the process unchanged, because supervision identifies processes by their titles."""
