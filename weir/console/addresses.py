"""Where the console is, what browsers call it, and links to it."""

import time

from weir.console.sessions import ensure_token, link_token
from weir.errors import StackError
from weir.home.ports import load_ports, reachable
from weir.settings import Settings

__all__ = ["console_address", "console_link", "console_names", "console_port"]


def console_port(settings: Settings) -> int:
    """Return the console's port: the one that is set, else the stack's own.

    Raises
    ------
    StackError
        No stack was started in this home, or one of a Weir without a console.
    """
    port = settings.console.port or load_ports(settings.home).get("console", 0)
    if not port:
        raise StackError(
            f"{settings.home}/ports.json names no port for the console; `weir down`, then `weir up`, or set WEIR_CONSOLE__PORT"
        )
    return port


def console_address(settings: Settings) -> str:
    """Return ``http://host:port`` as a program on this machine reaches the console."""
    host = reachable(settings.console.host)
    return f"http://{f'[{host}]' if ':' in host and host[0] != '[' else host}:{console_port(settings)}"


def console_names(settings: Settings, port: int) -> list[str]:
    """Return the ``name:port`` under which the settings say that a browser asks, the first one for links."""
    return [name if ":" in name else f"{name}:{port}" for name in settings.console.names]


def console_link(settings: Settings) -> str:
    """Return a link that opens the console once, and begins a session; under the first of ``[console] names``, where there is one."""
    names = console_names(settings, console_port(settings))
    address = f"http://{names[0]}" if names else console_address(settings)
    return f"{address}/?token={link_token(ensure_token(settings.home), time.time())}"
