"""The alias ``champion`` of MLflow's registered models follows the routes.

A separate process sets the aliases in MLflow, and no route waits for it. After a failure, it starts again with the newest champions.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

import msgspec

from stream.loop.training.errors import TrainingError
from stream.loop.training.process import run_command
from stream.wire import RouteRecord

_LOG = logging.getLogger(__name__)
#: Returns the command that sets the champions in its argument, a JSON array of [tenant, model, version].
ChampionCommand = Callable[[str], list[str]]
_TIMEOUT_SECONDS = 120.0
_RETRY_SECONDS = 60.0
#: Champions of one process: an argument has at most 128 KiB.
_BATCH = 100


class ChampionAliases:
    """Moves the aliases to the champions of the newest routes; without `command`, does nothing."""

    def __init__(self, command: ChampionCommand | None, *, retry_seconds: float = _RETRY_SECONDS) -> None:
        self._command = command
        self._retry_seconds = retry_seconds
        self._wanted: dict[tuple[str, str], str] = {}
        self._set: dict[tuple[str, str], str] = {}
        self._changed = asyncio.Event()

    def show(self, routes: Iterable[RouteRecord]) -> None:
        """Set the champions to mirror; returns at once."""
        self._wanted = {(route.tenant, route.model): route.champion for route in routes}
        self._changed.set()

    async def run(self) -> None:
        """Mirror until the task is cancelled."""
        if self._command is None:
            return
        while True:
            await self._changed.wait()
            self._changed.clear()
            while changes := self._changes():
                try:
                    await run_command(self._command(msgspec.json.encode(changes).decode()), _TIMEOUT_SECONDS)
                except (TrainingError, OSError) as error:
                    _LOG.warning("the alias champion of %d models is not set in MLflow: %s", len(changes), error)
                    await asyncio.sleep(self._retry_seconds)
                else:
                    self._set |= {(tenant, model): version for tenant, model, version in changes}

    def _changes(self) -> list[tuple[str, str, str]]:
        changed = [(*key, version) for key, version in self._wanted.items() if self._set.get(key) != version]
        return changed[:_BATCH]
