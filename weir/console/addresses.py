"""Port, address, host names and one-time links of the console."""

import time

from weir.console.sessions import ensure_token, link_token
from weir.errors import StackError
from weir.home.ports import load_ports, reachable
from weir.settings import Settings


def console_port(settings: Settings) -> int:
    """Return the configured port, else the port in the stack's ports.json; raises StackError."""
    port = settings.console.port or load_ports(settings.home).get("console", 0)
    if not port:
        raise StackError(
            f"{settings.home}/ports.json has no port of the console; run `weir down` and `weir up`, or set WEIR_CONSOLE__PORT"
        )
    return port


def console_address(settings: Settings) -> str:
    """Return ``http://host:port`` for programs on this machine."""
    return f"http://{reachable(settings.console.host)}:{console_port(settings)}"


def console_names(settings: Settings, port: int) -> list[str]:
    """Return the Host header for each configured host name; links use the first name."""
    return [host_header(name if ":" in name else f"{name}:{port}") for name in settings.console.names]


def host_header(address: str) -> str:
    """Return ``name:port`` as a browser sends it: without the default port of HTTP."""
    return address.removesuffix(":80")


def console_link(settings: Settings) -> str:
    """Return a one-time link that starts a session; the link's host is the first of ``[console] names``, else the console's host."""
    names = console_names(settings, console_port(settings))
    address = f"http://{names[0]}" if names else console_address(settings)
    return f"{address}/?token={link_token(ensure_token(settings.home), time.time())}"
