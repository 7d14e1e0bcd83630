"""Ports of a stack: chosen free once, kept in ``$WEIR_HOME/ports.json``, all on 127.0.0.1.

The HTTP port alone is a setting. Each home has a block of ports of its own (:mod:`weir.home.port_blocks`), below the kernel's range for
outgoing connections, so that neither a client socket nor another stack takes one while this one is down.
"""

import hashlib
import json
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from stream.files import replace_file
from weir.errors import StackError
from weir.home.port_blocks import claim_slot

__all__ = ["PORT_NAMES", "choose_ports", "ensure_ports", "load_ports", "port_is_free", "ports_path", "reachable"]

#: One for the broker, MLflow, the console and each process's metrics; Ray's own are added by :func:`ensure_ports`.
PORT_NAMES = (
    "broker",
    "broker_controller",
    "mlflow",
    "serve",
    "shipper",
    "score",
    "watch",
    "ledger",
    "sentinel",
    "intake",
    "bridge",
    "console",
)
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - what a listener is told, and where it is asked
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


def reachable(host: str) -> str:
    """Return where this machine reaches what listens on `host`."""
    return _ANY_HOST.get(host, host)


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


def choose_ports(names: Iterable[str], block: Iterable[int], taken: Iterable[int] = ()) -> dict[str, int]:
    """Return a free port of `block` for each name; one that ends in ``_base`` begins a range of 64 free ones.

    Raises
    ------
    StackError
        The block has not enough free ports.
    """
    used = set(taken)
    chosen: dict[str, int] = {}
    for name in sorted(names, key=_width, reverse=True):
        chosen[name] = _free_run(_width(name), [port for port in block if port not in used])
        used |= set(range(chosen[name], chosen[name] + _width(name)))
    return chosen


def _free_run(width: int, ports: list[int]) -> int:
    run: list[int] = []
    for port in ports:
        run = [*run, port] if run and port == run[-1] + 1 else [port]
        if not port_is_free(port):
            run = []
        elif len(run) == width:
            return run[0]
    raise StackError(
        f"no {width} free ports in a row in this stack's block of {len(ports)}; stop what listens there (ss -ltnp)"
    )


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
    block = claim_slot(home, int.from_bytes(hashlib.sha256(str(home).encode()).digest()[:4], "big"))
    ports = good | choose_ports([name for name in names if name not in good], block, _occupied(good))
    if ports != kept:
        replace_file(ports_path(home), json.dumps(ports, indent=2) + "\n")
    return ports, busy


def _width(name: str) -> int:
    return _RANGE_WIDTH if name.endswith(_RANGE_SUFFIX) else 1


def _block_is_free(name: str, first: int) -> bool:
    return all(map(port_is_free, range(first, first + _width(name))))


def _occupied(ports: Mapping[str, int]) -> set[int]:
    return {port for name, first in ports.items() for port in range(first, first + _width(name))}
