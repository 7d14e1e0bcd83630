"""``weir console``."""

import socket
import webbrowser
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from weir.cli.options import json_option
from weir.cli.render.output import print_result
from weir.errors import StackError

if TYPE_CHECKING:
    from weir.settings import Settings

__all__ = ["console"]

_CONNECT_SECONDS = 3.0


@click.command()
@click.option("--open", "open_browser", is_flag=True, help="Also open the link in a browser on this machine.")
@json_option
def console(*, open_browser: bool, as_json: bool) -> None:
    """Print a link to the web console: live requests, alerts with evidence, drift, coverage, retraining, reviews, silences.

    A link works once and expires after a day. The session that it opens lasts seven days. On another machine, forward the port
    (ssh -L PORT:127.0.0.1:PORT) and open the link there.

    \b
    Examples:
      weir console
      weir console --open
    """
    from weir.console.addresses import console_link
    from weir.settings import load_settings

    settings = load_settings().settings
    _check_running(settings)
    link = console_link(settings)
    print_result({"link": link}, link, as_json=as_json)
    if open_browser and not webbrowser.open(link):
        raise StackError("no browser could be opened on this machine; open the printed link")


def _check_running(settings: "Settings") -> None:
    """Raise StackError if the console does not answer. The console rejects links that were made before it started."""
    if not settings.console.enabled:
        raise StackError("console.enabled is false; set WEIR_CONSOLE__ENABLED=true and restart the stack")
    from weir.console.addresses import console_address

    address = console_address(settings)
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise StackError(
            f"the console does not answer at {address} ({error}); check `weir status`, or start the stack with `weir up`"
        ) from None
