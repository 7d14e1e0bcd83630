"""The routes in force: which version of a model answers the requests of a tenant.

``$WEIR_HOME/routes.json`` and ``route-overrides.json`` (:mod:`stream.wire.route_files`) are read again when they change, at most
twice a second. A damaged file keeps the routes that were read before; without a file, every model answers with its base version.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from stream.files import WatchedFile
from stream.wire import RouteRecord
from stream.wire.route_files import (
    RouteFile,
    RouteOverrides,
    named_versions,
    overrides_path,
    routes_path,
    with_overrides,
)

_CHECK_SECONDS = 0.5


class RouteTable:
    """The routes of one home."""

    def __init__(self, home: Path) -> None:
        self._routes_file = WatchedFile(routes_path(home), msgspec.json.Decoder(RouteFile).decode, RouteFile())
        overrides = msgspec.json.Decoder(RouteOverrides)
        self._overrides_file = WatchedFile(overrides_path(home), overrides.decode, RouteOverrides())
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
            overrides, routes = self._overrides_file.value(), self._routes_file.value()
            if routes is not self._routes or overrides is not self._overrides:
                self._routes, self._overrides = routes, overrides
                self._in_force = with_overrides(routes.routes, overrides.overrides)
        return self._in_force
