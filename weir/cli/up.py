"""``weir up``."""

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from weir.cli.command_line import weir_command
from weir.errors import StackError
from weir.home.api_keys import first_key_path, valid_key
from weir.local.plan import Plan
from weir.local.step_reporter import StepReporter

if TYPE_CHECKING:
    from weir.settings import Settings


@click.command()
@click.option("--detach", "-d", is_flag=True, help="Return when the stack is ready; `weir down` stops it.")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Start only this component (broker, ray, serve, shipper, score, watch, ledger, …); repeatable. For containers.",
)
def up(*, detach: bool, only: tuple[str, ...]) -> None:
    """Start Kafka, the trace view, serving and the stream stages on this machine, and supervise them.

    `weir up` restarts a component that exits or fails its health check. Without --detach, the command prints events until Ctrl-C,
    and then stops the stack. If the stack already runs, the command starts nothing: it waits up to 60 s until the stack is healthy
    and prints the addresses and the tables of settings that have changed since its start. It fails if --only names a component that
    the running stack does not have.

    \b
    Examples:
      weir up
      weir up --detach
      WEIR_HOME=/tmp/two WEIR_HTTP__PORT=8001 weir up     a second stack on this machine
      weir up --only ray --only serve                     only the endpoint; another shipper reads its spool
    """
    from weir.local.up import bring_up
    from weir.settings import load_settings

    settings = (loaded := load_settings()).settings
    reporter = StepReporter(Console(highlight=False, soft_wrap=True))
    interrupt_on_signals()
    began = time.monotonic()
    plan, fresh = bring_up(loaded, reporter, only)
    if fresh:
        reporter.say(f"ready after {time.monotonic() - began:.0f} s")
    print_addresses(settings, plan, reporter)
    if fresh and not detach:
        _foreground(settings, plan, reporter)


def interrupt_on_signals() -> None:
    """Raise KeyboardInterrupt also on SIGTERM and SIGHUP, so that an interrupted start stops the processes it started.

    A signal that is ignored is left alone: after ``nohup``, the stack continues to run when the terminal closes.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def print_addresses(settings: "Settings", plan: Plan, reporter: StepReporter) -> None:
    """Print the addresses of the stack and the next commands."""
    weir = weir_command()
    address = {component.name: component.address for component in plan.components}
    rows = [
        ("endpoint", f"{address['serve']}  (OpenAI-compatible)" if "serve" in address else "elsewhere"),
        ("API key", _api_key(settings.home) if "serve" in address else "elsewhere"),
        ("console", _console(settings, address)),
        ("traces", address.get("mlflow", settings.trace.endpoint or "off")),
        ("Kafka", plan.kafka),
        ("logs", f"{settings.home}/logs"),
        ("next", f"{weir} status · {weir} alerts --follow · {weir} down"),
    ]
    for name, value in rows:
        reporter.say(f"  {name:<9} {value}")


def _api_key(home: Path) -> str:
    path = first_key_path(home)
    if valid_key(home, path) is not None:
        return f"in {path}"
    return f"{path} has no valid key; `{weir_command()} keys create --tenant NAME` creates a key"


def _console(settings: "Settings", address: dict[str, str]) -> str:
    if not settings.console.enabled:
        return "off"
    from weir.console.addresses import console_link

    if "ledger" not in address:
        return "elsewhere"
    try:
        return console_link(settings)
    except StackError as error:  # the stack runs: a damaged token must not end the command
        return f"not available: {error}"


def _foreground(settings: "Settings", plan: Plan, reporter: StepReporter) -> None:
    from weir.local.down import take_down
    from weir.local.preflight import stack_lock
    from weir.local.up import follow_log

    reporter.say("Ctrl-C stops the stack; events:")
    try:
        follow_log(plan, reporter)
    except KeyboardInterrupt:
        reporter.say("stopping")
        with stack_lock(settings.home):
            take_down(settings.home, reporter)
        reporter.say("stopped")
