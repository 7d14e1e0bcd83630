"""The versions of one model in a replica: its base version, and the trained versions that a route names.

Each trained version has a separate model server, with the merged weights in ``$WEIR_HOME/loop/models/VERSION/model.gguf``. A version is loaded in the
background when a route names it, and closed when no route names it and its last answer has ended. If a version is not loaded, the base version
answers its requests, and the chunks name the base version, so a client never gets an error.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from time import monotonic

from serving.backend import MODEL_VERSION, ModelInfo, ModelRequest, OpenAIChunk, RejectedRequest
from serving.replica.model_server import ModelServer

_LOG = logging.getLogger(__name__)
_CHECK_SECONDS = 0.5
#: The pause after a version could not be loaded; each further failure doubles it, up to the second value.
_RETRY_SECONDS = 10.0, 120.0


class ModelVersions:
    """Answers with the version that a request names.

    Parameters
    ----------
    base
        The server of the base version.
    load
        Returns the server of a trained version, not loaded.
    wanted
        Returns the trained versions that must be loaded.
    """

    def __init__(
        self, base: ModelServer, load: Callable[[str], ModelServer], wanted: Callable[[], frozenset[str]]
    ) -> None:
        self._base = base
        self._load = load
        self._wanted = wanted
        self._servers: dict[str, ModelServer] = {}
        #: (time of the next attempt, pause before it) of versions that could not be loaded.
        self._retries: dict[str, tuple[float, float]] = {}

    def describe(self) -> ModelInfo:
        """Return the description of the base version, with the loaded versions."""
        return self._base.describe(frozenset(self._servers))

    async def generate(self, request: ModelRequest) -> AsyncGenerator[OpenAIChunk | RejectedRequest, None]:
        """Generate an answer; with a version in the request, each chunk names the version that answers."""
        server = self._servers.get(request.version)
        if server is not None and not server.running:
            server = None
        if server is None and request.version and request.shadow:
            yield RejectedRequest(
                code="version_not_loaded",
                status=503,
                message=f"The version {request.version!r} is not loaded in this replica.",
            )
            return
        answering = (
            {MODEL_VERSION: self._base.version if server is None else request.version} if request.version else {}
        )
        async with aclosing((server or self._base).generate(request)) as items:
            async for item in items:
                yield item if isinstance(item, RejectedRequest) else item | answering

    async def follow(self) -> None:
        """Load and close versions as the routes name them, until cancelled."""
        while True:
            await self.update()
            await asyncio.sleep(_CHECK_SECONDS)

    async def update(self) -> None:
        """Load the versions that are wanted now, and close idle versions that are not wanted or whose engine has ended."""
        wanted = self._wanted()
        for version, server in list(self._servers.items()):
            if server.idle and not server.running:
                del self._servers[version]
                await server.close()
                _LOG.warning("the engine of version %s has ended; it is loaded again while a route names it", version)
        for version in sorted(wanted - self._servers.keys()):
            await self._add(version)
        for version in self._servers.keys() - wanted:
            if self._servers[version].idle:
                await self._servers.pop(version).close()
                _LOG.info("version %s is no longer routed; its weights were closed", version)

    async def _add(self, version: str) -> None:
        at, pause = self._retries.get(version, (0.0, 0.0))
        if monotonic() < at:
            return
        try:
            server = await asyncio.to_thread(self._load, version)
            await server.load()
        except Exception as error:  # noqa: BLE001 - a library may raise any type, and `follow` must go on
            first, most = _RETRY_SECONDS
            pause = min(2 * pause or first, most)
            self._retries[version] = monotonic() + pause, pause
            _LOG.warning(
                "version %s cannot be loaded (%r); the base version answers its requests, and the next attempt is in %.0f s",
                *(version, error, pause),
            )
            return
        self._retries.pop(version, None)
        self._servers[version] = server
        _LOG.info("version %s is loaded", version)

    async def close(self) -> None:
        """Close all versions, the base version last."""
        for server in (*self._servers.values(), self._base):
            await server.close()
