"""Ports of a stack on 127.0.0.1, chosen once and kept in ``$WEIR_HOME/ports.json``; only the HTTP port is a setting.

The ports are in the home's own block (:mod:`weir.home.port_blocks`), so that no client socket and no other stack uses them while this stack
is down.
"""

import hashlib
import json
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from stream.files import write_json
from weir.errors import StackError
from weir.home.port_blocks import claim_block

#: Ports of the broker, MLflow, the console, and the metrics of each component; Ray has more (serving.ray_local.layout.PORT_NAMES).
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
    "delivery",
    "console",
    "trainer",
)
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - listen address to connect address
_RANGE_SUFFIX = "_base"
_RANGE_WIDTH = 64
_DIGEST_BYTES = 4
_LAST_PORT = 65_535


def ports_path(home: Path) -> Path:
    """Return the file with the ports of the stack in `home`."""
    return home / "ports.json"


def load_ports(home: Path) -> dict[str, int]:
    """Return {name: port} of the stack in `home`; raises StackError if no stack was started there or the file is damaged."""
    path = ports_path(home)
    try:
        saved = {str(name): int(port) for name, port in json.loads(path.read_text(encoding="utf-8")).items()}
    except FileNotFoundError:
        raise not_started(home) from None
    except (ValueError, AttributeError, TypeError, OverflowError) as error:
        raise _damaged(path, str(error)) from None
    for name, port in saved.items():
        if not 0 < port <= _LAST_PORT:
            raise _damaged(path, f"{name} is {port}, and a port is a number from 1 to {_LAST_PORT}")
    return saved


def not_started(home: Path) -> StackError:
    """Return the error for a home without a stack."""
    return StackError(
        f"no stack was started in {home}; start it with `weir up`, or set WEIR_HOME to the home of a stack"
    )


def _damaged(path: Path, reason: str) -> StackError:
    return StackError(f"{path} is damaged ({reason}); run `weir down`, delete the file, then run `weir up`")


def no_proxy(environment: Mapping[str, str]) -> str:
    """Return the value of NO_PROXY with this machine, for the clients of spans and of MLflow, which use the proxy of the environment."""
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    return given if given == "*" else ",".join(filter(None, (given, "127.0.0.1", "localhost")))


def reachable(host: str) -> str:
    """Return the address, as in a URL, at which this machine reaches a listener on `host`."""
    return in_url(_ANY_HOST.get(host, host))


def in_url(host: str) -> str:
    """Return `host` as a URL and the Host header contain it: an IPv6 address is in square brackets."""
    return f"[{host}]" if ":" in host and host[0] != "[" else host


def _is_free(port: int) -> bool:
    """Return whether a server could listen on `port` of 127.0.0.1 now; a port in TIME_WAIT counts as free."""
    return listen_error(port, "127.0.0.1") is None


def listen_error(port: int, host: str) -> OSError | UnicodeError | None:
    """Return why a server could not listen on `port` of `host` now, or None; a name that cannot be a host name is a UnicodeError."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except (OSError, UnicodeError) as error:
            return error
    return None


def choose_ports(names: Iterable[str], block: Iterable[int], taken: Iterable[int] = ()) -> dict[str, int]:
    """Return {name: free port of `block`}; raises StackError if there are too few free ports.

    For a name that ends with ``_base``, the port is the first of 64 consecutive free ports.
    """
    used = set(taken)
    chosen: dict[str, int] = {}
    for name in sorted(names, key=_width, reverse=True):
        chosen[name] = _free_run(_width(name), [port for port in block if port not in used])
        used |= set(_ports_of(name, chosen[name]))
    return chosen


def _free_run(width: int, ports: list[int]) -> int:
    run: list[int] = []
    for port in ports:
        run = [*run, port] if run and port == run[-1] + 1 else [port]
        if not _is_free(port):
            run = []
        elif len(run) == width:
            return run[0]
    raise StackError(
        f"{width} consecutive free ports are needed in {min(ports, default=0)} to {max(ports, default=0)} on 127.0.0.1, and none were "
        "found; stop processes that listen there (ss -ltnp), or set WEIR_HOME to another folder"
    )


def ensure_ports(home: Path, names: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    """Return the ports of `home`, and the names whose port was in use and was replaced; call this only while the stack is down."""
    saved: Mapping[str, int] = load_ports(home) if ports_path(home).exists() else {}
    names = list(names)
    busy = [name for name in names if name in saved and not all(map(_is_free, _ports_of(name, saved[name])))]
    good = {name: saved[name] for name in names if name in saved and name not in busy}
    block = claim_block(home, int.from_bytes(hashlib.sha256(str(home).encode()).digest()[:_DIGEST_BYTES], "big"))
    taken = [port for name, first in good.items() for port in _ports_of(name, first)]
    ports = good | choose_ports([name for name in names if name not in good], block, taken)
    if ports != saved:
        write_json(ports_path(home), ports)
    return ports, busy


def _width(name: str) -> int:
    return _RANGE_WIDTH if name.endswith(_RANGE_SUFFIX) else 1


def _ports_of(name: str, first: int) -> range:
    return range(first, first + _width(name))
