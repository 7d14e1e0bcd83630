"""``weir console``."""

import socket
import webbrowser
from urllib.parse import urlsplit

import click

from weir.cli.render.output import json_option, print_json
from weir.console.addresses import console_address, console_link
from weir.errors import StackError
from weir.settings import Settings, load_settings

__all__ = ["console"]

_CONNECT_SECONDS = 3.0


@click.command()
@click.option("--open", "open_it", is_flag=True, help="Also open it in this machine's browser.")
@json_option
def console(*, open_it: bool, as_json: bool) -> None:
    """Print a link to the console: live requests, alerts with their evidence, drift, coverage, retraining, reviews, silences.

    A link works once and within a day; the session that it begins lasts seven days. From another machine: forward the port
    (ssh -L PORT:127.0.0.1:PORT) and open the link there.

    \b
    Examples:
      weir console
      weir console --open
    """  # noqa: D301 - click's \b keeps the lines as they are
    settings = load_settings().settings
    _refuse_silence(settings)
    link = console_link(settings)
    if as_json:
        print_json({"link": link})
    else:
        click.echo(link)
    if open_it and not webbrowser.open(link):
        raise StackError("this machine opens no browser; open the link that was printed")


def _refuse_silence(settings: Settings) -> None:
    """Raise StackError where no console answers: a link made now would not work in one that starts later."""
    if not settings.console.enabled:
        raise StackError("console.enabled is false; set WEIR_CONSOLE__ENABLED=true and start the stack anew")
    address = console_address(settings)
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise StackError(
            f"no console answers at {address} ({error}); see `weir status`, start the stack with `weir up`"
        ) from None
