"""``weir up``."""

import signal
import time
from types import FrameType

import click
from rich.console import Console

from weir.cli.command_line import weir_command
from weir.console.addresses import console_link
from weir.home.api_keys import first_key_path
from weir.local.down import take_down
from weir.local.plan import Plan
from weir.local.preflight import exclusive
from weir.local.step_reporter import Reporter
from weir.local.up import bring_up, follow
from weir.settings import Settings, load_settings

__all__ = ["print_addresses", "up"]

_INTERRUPTED = 130


@click.command()
@click.option("--detach", "-d", is_flag=True, help="Return when everything is ready; `weir down` stops it.")
@click.option(
    "--only", multiple=True, metavar="NAME", help="Start this component and no other; again for each. For containers."
)
def up(*, detach: bool, only: tuple[str, ...]) -> None:
    """Start a broker, the trace view, serving and the stream on this machine, and watch over them.

    What dies is started again, what hangs is found by its health. Without --detach this follows what happens, and Ctrl-C
    stops exactly what it started. On a stack that is up already it says so.

    \b
    Examples:
      weir up
      weir up --detach
      WEIR_HOME=/tmp/two WEIR_HTTP__PORT=8001 weir up     a second stack beside the first
      weir up --only ray --only serve                     the endpoint alone, whose spool somebody else's shipper reads
    """  # noqa: D301 - click's \b keeps the lines as they are
    settings = (loaded := load_settings()).settings
    reporter = Reporter(Console(highlight=False, soft_wrap=True))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    began = time.monotonic()
    try:
        plan, fresh = bring_up(loaded, reporter, only)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(_INTERRUPTED) from None
    if fresh:
        reporter.say(f"ready after {time.monotonic() - began:.0f} s")
    print_addresses(settings, plan, reporter)
    if fresh and not detach:
        _foreground(settings, plan, reporter)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def print_addresses(settings: Settings, plan: Plan, reporter: Reporter) -> None:
    """Say where everything is, and what to type next."""
    weir = weir_command()
    address = {one.name: one.address for one in plan.components}
    rows = [
        ("endpoint", f"{address['serve']}  (OpenAI-compatible)" if "serve" in address else "elsewhere"),
        ("API key", f"in {first_key_path(settings.home)}"),
        ("console", _console(settings, address)),
        ("traces", address.get("mlflow", settings.trace.endpoint or "off")),
        ("Kafka", f"{plan.bootstrap}  ({plan.broker})"),
        ("logs", f"{settings.home}/logs"),
        ("next", f"{weir} status · {weir} alerts --follow · {weir} down"),
    ]
    for name, value in rows:
        reporter.say(f"  {name:<9} {value}")


def _console(settings: Settings, address: dict[str, str]) -> str:
    if not settings.console.enabled:
        return "off"
    return console_link(settings) if "ledger" in address else "elsewhere"


def _foreground(settings: Settings, plan: Plan, reporter: Reporter) -> None:
    reporter.say("Ctrl-C stops it; what happens meanwhile:")
    try:
        follow(plan, reporter)
    except KeyboardInterrupt:
        reporter.say("stopping")
        with exclusive(settings.home):
            take_down(settings.home, reporter)
        reporter.say("stopped")
