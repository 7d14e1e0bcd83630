"""``weir console``."""

import webbrowser
from http import HTTPStatus
from typing import TYPE_CHECKING

import click

from weir.cli.options import json_option
from weir.cli.render.output import print_result
from weir.errors import StackError

if TYPE_CHECKING:
    from weir.settings import Settings

_ANSWER_SECONDS = 3.0


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
    """Raise StackError if the console does not answer, or has another token. It rejects links that were made before it started."""
    if not settings.console.enabled:
        raise StackError("console.enabled is false; set WEIR_CONSOLE__ENABLED=true and restart the stack")
    import httpx

    from weir.console.addresses import console_address
    from weir.console.sessions import ensure_token, token_path

    address, bearer = console_address(settings), {"authorization": f"Bearer {ensure_token(settings.home)}"}
    try:
        answer = httpx.get(f"{address}/api/stack", headers=bearer, timeout=_ANSWER_SECONDS, trust_env=False)
    except httpx.TransportError as error:
        raise StackError(
            f"the console does not answer at {address} ({error}); check `weir status`, or start the stack with `weir up`"
        ) from None
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        raise StackError(
            f"{token_path(settings.home)} changed after the console at {address} started, so a link would not work; restart the stack with "
            "`weir down` and `weir up`"
        )
