"""The route files of a home: delivery writes the routes, operators add overrides, delivery removes them when they are published."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from stream.errors import StreamError
from stream.files import FileLock, write_json
from stream.wire import RouteRecord
from stream.wire.route_files import RouteFile, RouteOverride, RouteOverrides, overrides_path, routes_path

FileT = TypeVar("FileT", RouteFile, RouteOverrides)
_FIXES = {
    RouteFile: (
        "do not delete the file, because then the base version answers for every tenant. Delivery writes it again if delivery runs and Kafka"
        " answers (`weir status`). Until then, `weir route kill` with --tenant and --model lets the base version answer"
    ),
    RouteOverrides: "delete it, then repeat the decisions that delivery has not published (`weir route show`)",
}


def read_routes(home: Path) -> tuple[RouteRecord, ...]:
    """Return the routes of `home`; raises StreamError if the file is damaged."""
    return _read(routes_path(home), RouteFile).routes


def read_overrides(home: Path) -> tuple[RouteOverride, ...]:
    """Return the operators' decisions that are not published yet, oldest first; raises StreamError if the file is damaged."""
    return _read(overrides_path(home), RouteOverrides).overrides


def write_routes(home: Path, routes: Iterable[RouteRecord]) -> None:
    """Replace the routes of `home`; gateways read them within half a second."""
    write_json(routes_path(home), RouteFile(routes=tuple(routes)), durable=True)


def add_override(home: Path, override: RouteOverride) -> None:
    """Add an operator's decision; the decision replaces an earlier decision about the same tenant and model."""
    with _locked(home):
        kept = [one for one in read_overrides(home) if (one.tenant, one.model) != (override.tenant, override.model)]
        write_json(overrides_path(home), RouteOverrides(overrides=(*kept, override)), durable=True)


def remove_overrides(home: Path, done: Iterable[RouteOverride]) -> None:
    """Remove published decisions."""
    gone = list(done)
    with _locked(home):
        kept = tuple(one for one in read_overrides(home) if one not in gone)
        write_json(overrides_path(home), RouteOverrides(overrides=kept), durable=True)


def _locked(home: Path) -> FileLock:
    return FileLock.acquire(overrides_path(home).with_name(".routes.lock"))


def _read(path: Path, kind: type[FileT]) -> FileT:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return kind()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StreamError(f"{path} is damaged: {error}; {_FIXES[kind]}") from None
