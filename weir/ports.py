"""Ports of a stack: chosen free once, kept in ``$WEIR_HOME/ports.json``, all on 127.0.0.1.

The HTTP port alone is a setting. Ports lie below the kernel's range for outgoing connections (32768 and up on Linux), so
that no client socket takes one while the stack is down.
"""

import json
import os
import secrets
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from weir.errors import StackError

__all__ = ["PORT_NAMES", "choose_ports", "ensure_ports", "load_ports", "port_is_free", "ports_path"]

#: One for the broker, MLflow and each process's metrics; Ray's own are added by :func:`ensure_ports`.
PORT_NAMES = ("broker", "broker_controller", "mlflow", "serve", "shipper", "score", "watch", "ledger")
_FIRST, _LAST = 20_000, 32_700
_ATTEMPTS = 200
_RANGE_SUFFIX = "_base"
_RANGE_WIDTH = 64


def ports_path(home: Path) -> Path:
    """Return the file that keeps the ports of the stack in `home`."""
    return home / "ports.json"


def load_ports(home: Path) -> dict[str, int]:
    """Return {name: port} of the stack in `home`.

    Raises
    ------
    StackError
        No stack was ever started there, or the file is damaged.
    """
    path = ports_path(home)
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): int(port) for name, port in kept.items()}
    except FileNotFoundError:
        raise StackError(
            f"no stack was started in {home} (it has no ports.json); run `weir up`, or set WEIR_HOME"
        ) from None
    except (ValueError, AttributeError, TypeError) as error:
        raise StackError(f"{path} is damaged ({error}); run `weir down`, delete it, and `weir up` again") from None


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a listener could have `port` now (one in TIME_WAIT counts as free, as it does for a server)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose_ports(names: Iterable[str], taken: Iterable[int] = ()) -> dict[str, int]:
    """Return a free port for each name; one that ends in ``_base`` begins a range of 64 free ones.

    Raises
    ------
    StackError
        No free block was found between 20000 and 32700.
    """
    used = set(taken)
    chosen: dict[str, int] = {}
    for name in names:
        width = _RANGE_WIDTH if name.endswith(_RANGE_SUFFIX) else 1
        chosen[name] = _free_block(width, used)
        used |= set(range(chosen[name], chosen[name] + width))
    return chosen


def _free_block(width: int, used: set[int]) -> int:
    for _ in range(_ATTEMPTS):
        first = _FIRST + secrets.randbelow(_LAST - _FIRST - width)
        block = range(first, first + width)
        if used.isdisjoint(block) and all(map(port_is_free, block)):
            return first
    raise StackError(f"no {width} free ports in a row between {_FIRST} and {_LAST}; stop what listens there")


def ensure_ports(home: Path, names: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    """Return the ports of `home`, choosing what is missing or busy; call it while the stack does not run.

    Returns
    -------
    tuple
        {name: port}, and the names whose kept port another process has taken meanwhile (they get another one).
    """
    kept: Mapping[str, int] = load_ports(home) if ports_path(home).exists() else {}
    names = list(names)
    busy = [name for name in names if name in kept and not _block_is_free(name, kept[name])]
    good = {name: kept[name] for name in names if name in kept and name not in busy}
    ports = good | choose_ports((name for name in names if name not in good), _occupied(good))
    if ports != kept:
        _write(ports_path(home), ports)
    return ports, busy


def _width(name: str) -> int:
    return _RANGE_WIDTH if name.endswith(_RANGE_SUFFIX) else 1


def _block_is_free(name: str, first: int) -> bool:
    return all(map(port_is_free, range(first, first + _width(name))))


def _occupied(ports: Mapping[str, int]) -> set[int]:
    return {port for name, first in ports.items() for port in range(first, first + _width(name))}


def _write(path: Path, ports: Mapping[str, int]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(dict(ports), indent=2) + "\n", encoding="utf-8")
    draft.replace(path)
