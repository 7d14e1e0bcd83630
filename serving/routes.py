"""The routes in force: which version of a model answers the requests of a tenant.

``$WEIR_HOME/routes.json`` and ``route-overrides.json`` (:mod:`stream.wire.route_files`) are read again when they change, at most
twice a second. A damaged file keeps the routes that were read before; without a file, every model answers with its base version.
"""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from stream.wire import RouteRecord
from stream.wire.route_files import (
    RouteFile,
    RouteOverrides,
    named_versions,
    overrides_path,
    routes_path,
    with_overrides,
)

_LOG = logging.getLogger(__name__)
_CHECK_SECONDS = 0.5
FileT = TypeVar("FileT", RouteFile, RouteOverrides)


class _Watched:
    """One file, decoded again when it changes; `logged` is the error that was logged last, "" if the file could be read since."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stamp: tuple[int, int, int] | None = None
        self.logged = ""

    def changed(self) -> bytes | None:
        """Return the content if the file is new or has changed, that of a file without routes if it is gone, else None."""
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self.stamp:
                return None
            content = self.path.read_bytes()
        except FileNotFoundError:
            was_there, self.stamp = self.stamp is not None, None
            return b"{}" if was_there else None
        self.stamp = stamp
        return content


class RouteTable:
    """The routes of one home."""

    def __init__(self, home: Path) -> None:
        self._routes_file = _Watched(routes_path(home))
        self._overrides_file = _Watched(overrides_path(home))
        self._next_check = 0.0
        self._routes, self._overrides = RouteFile(), RouteOverrides()
        self._in_force: Mapping[tuple[str, str], RouteRecord] = {}

    def route(self, tenant: str, model: str) -> RouteRecord | None:
        """Return the route of the tenant's requests to `model`, or None if the base version answers all."""
        return self._current().get((tenant, model))

    def versions(self, model: str) -> frozenset[str]:
        """Return the trained versions of `model` that a route names, and that must be loaded."""
        routes = self._current().values()
        return frozenset(version for route in routes if route.model == model for version in named_versions(route))

    def _current(self) -> Mapping[tuple[str, str], RouteRecord]:
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + _CHECK_SECONDS
            # Delivery writes an override's route before it removes the override, so read in the opposite order.
            overrides = _read(self._overrides_file, self._overrides)
            routes = _read(self._routes_file, self._routes)
            if routes is not self._routes or overrides is not self._overrides:
                self._routes, self._overrides = routes, overrides
                self._in_force = with_overrides(routes.routes, overrides.overrides)
        return self._in_force


def _read(file: _Watched, known: FileT) -> FileT:
    """Return the decoded file if it has changed and can be read, else `known`."""
    try:
        content = file.changed()
        found = known if content is None else msgspec.json.decode(content, type=type(known))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        if file.logged != str(error):
            _LOG.warning("%s cannot be read (%s); the routes that were read before stay in force", file.path, error)
            file.logged = str(error)
        return known
    file.logged = ""
    return found
