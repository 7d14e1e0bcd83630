"""The files of routes in ``$WEIR_HOME``, and the choice of the version that answers a request.

``routes.json`` has the newest route of each (tenant, model); the component ``delivery`` writes it.
``route-overrides.json`` has the operators' decisions that delivery has not published yet; ``weir route kill`` writes
it. A gateway follows both files, so that an operator's decision needs neither Kafka nor delivery. If
``$WEIR_HOME/routes`` is a folder, such as a volume that several containers share, the files are there.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from stream.wire.events.base import EventData, Seconds
from stream.wire.events.models import RouteRecord
from stream.wire.keys import trained_version

#: The name of the version that Weir did not train: the weights of the settings.
BASE = "base"
_SEPARATOR = "\x1f"
_POINTS = 10_000
_VERSION = re.compile(r"m_[0-9a-f]{8,64}")


class RouteOverride(EventData, frozen=True, kw_only=True):
    """An operator's decision: from `at` (clock time) on, `version` answers all requests of one (tenant, model)."""

    tenant: str
    model: str
    version: str
    at: Seconds
    by: str
    reason: str = ""


class RouteFile(EventData, frozen=True, kw_only=True):
    """The content of ``routes.json``."""

    routes: tuple[RouteRecord, ...] = ()


class RouteOverrides(EventData, frozen=True, kw_only=True):
    """The content of ``route-overrides.json``, oldest first."""

    overrides: tuple[RouteOverride, ...] = ()


def routes_path(home: Path) -> Path:
    """Return the path of the routes."""
    return _folder(home) / "routes.json"


def overrides_path(home: Path) -> Path:
    """Return the path of the operators' decisions."""
    return _folder(home) / "route-overrides.json"


def _folder(home: Path) -> Path:
    shared = home / "routes"
    return shared if shared.is_dir() else home


def is_version(name: str) -> bool:
    """Return whether `name` is the name of a trained version."""
    return _VERSION.fullmatch(name) is not None


def version_weights(home: Path, version: str) -> Path:
    """Return the file with the merged weights of a trained version; raises ValueError if `version` is no such name."""
    if not is_version(version):
        raise ValueError(f"{version!r} is not a trained version; it must be m_ and 8 to 64 hexadecimal digits")
    return home / "loop" / "models" / version / "model.gguf"


def with_overrides(
    routes: Iterable[RouteRecord], overrides: Iterable[RouteOverride]
) -> dict[tuple[str, str], RouteRecord]:
    """Return {(tenant, model): route in force}; an override replaces the route and has its epoch."""
    found = {(route.tenant, route.model): route for route in routes}
    for override in overrides:
        key = (override.tenant, override.model)
        known = found.get(key)
        found[key] = RouteRecord(
            tenant=override.tenant,
            model=override.model,
            epoch=known.epoch if known is not None else 0,
            at=override.at,
            champion=override.version,
            weights={override.version: 100},
            previous=previous_version(known, override.version),
            reason=override.reason,
            by=override.by,
        )
    return found


def previous_version(route: RouteRecord | None, version: str) -> str:
    """Return the version for a later rollback if `version` becomes the champion of `route`.

    After a rollback, the result is never the version that was rolled back, so that a second rollback does not restore
    it.
    """
    if route is None or version in {BASE, route.previous}:
        return BASE
    return route.previous if version == route.champion else route.champion


def named_versions(route: RouteRecord) -> frozenset[str]:
    """Return the trained versions that must be loaded for `route`."""
    return frozenset(filter(trained_version, (route.champion, route.challenger, *route.weights)))


def version_for(route: RouteRecord, conversation: str) -> str:
    """Return the version that answers `conversation`: the id of the conversation, or of a request without a conversation.

    A conversation that the challenger answers stays with the challenger while the challenger's share rises.
    """
    share = route.weights.get(route.challenger, 0) if route.challenger else 0
    is_challenger = _point(route, conversation) < share * _POINTS / 100
    return route.challenger if is_challenger else route.champion


def in_shadow(route: RouteRecord, request_id: str) -> bool:
    """Return whether the challenger also answers this request without a user receiving the answer."""
    return bool(route.challenger) and _point(route, f"shadow{_SEPARATOR}{request_id}") < route.shadow * _POINTS


def _point(route: RouteRecord, name: str) -> int:
    """Return a number in [0, 10000): a hash of the tenant, the challenger and `name`."""
    digest = hashlib.sha256(_SEPARATOR.join((route.tenant, route.challenger, name)).encode()).digest()
    return int.from_bytes(digest[:8]) % _POINTS
