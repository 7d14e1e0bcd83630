"""``weir demo``."""

import asyncio

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stream.wire import AlertRecord
from weir.cli.command_line import weir_command
from weir.cli.up import print_addresses
from weir.demo.results import PROMISED
from weir.demo.run import Outcome, run_demo
from weir.home.api_keys import first_key_path
from weir.local.plan import Plan
from weir.local.step_reporter import StepReporter
from weir.local.up import bring_up
from weir.operate.trace_links import trace_page
from weir.settings import Settings, load_settings

__all__ = ["demo"]


@click.command()
def demo() -> None:
    """Start the stack if it is not up, send real traffic, and show how it becomes verdicts, alerts and a retraining event.

    The traffic is that of a tenant of its own (demo-<hex>): ordinary prompts, then personal data, insults and injection
    attempts, then another topic. Exit status 0 says that a PII alert, a toxicity alert, a drift alert and the retraining
    event that followed were seen for these very requests. The stack goes on running.

    \b
    Examples:
      weir demo
      weir demo && weir status
    """  # noqa: D301 - click's \b keeps the lines as they are
    loaded = load_settings()
    console = Console(highlight=False, soft_wrap=True)
    reporter = StepReporter(console)
    plan, _ = bring_up(loaded, reporter)
    console.print()
    outcome = asyncio.run(run_demo(loaded, console))
    _summary(console, outcome)
    _next_steps(console, reporter, loaded.settings, plan, outcome)
    if missing := outcome.seen.missing():
        click.echo(
            f"weir: not seen for the demo's own requests: {', '.join(missing)}; see `{weir_command()} status`", err=True
        )
        raise click.exceptions.Exit(1)


def _summary(console: Console, outcome: Outcome) -> None:
    seen = outcome.seen
    console.print(
        f"\n[bold]{outcome.answered}[/] requests answered, {outcome.refused} refused; verdicts (flagged of all):"
    )
    for detector, (count, flagged) in sorted(seen.verdicts.items()):
        console.print(f"  {detector:10} {flagged:4} of {count}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("promised", "seen after", "what"):
        table.add_column(column)
    for name in PROMISED:
        after = f"{seen.seconds[name]:.0f} s" if name in seen.seconds else "not seen"
        table.add_row(
            f"{name} alert" if name != "retraining" else "retraining event", after, escape(_what(outcome, name))
        )
    console.print(table)


def _what(outcome: Outcome, name: str) -> str:
    if name == "retraining":
        requested = outcome.seen.requested
        return requested.reason if requested else outcome.seen.suppressed
    found = [alert for alert in outcome.seen.alerts.values() if alert.detector == name]
    return found[0].summary if found else ""


def _evidence(outcome: Outcome) -> AlertRecord | None:
    """Return the alert whose trace tells the most: the one that tipped the retraining event, else any."""
    alerts = outcome.seen.alerts
    tipped = [
        alerts[name] for name in (outcome.seen.requested.alert_ids if outcome.seen.requested else ()) if name in alerts
    ]
    found = [alert for alert in (*tipped, *alerts.values()) if alert.trace_id and alert.evidence]
    return max(found, key=lambda alert: alert.alert_id == outcome.seen.tipping_alert, default=None)


def _next_steps(console: Console, reporter: StepReporter, settings: Settings, plan: Plan, outcome: Outcome) -> None:
    base, weir = f"http://{settings.http.host}:{settings.http.port}/v1", weir_command()
    console.print("\nThe stack goes on running:")
    print_addresses(settings, plan, reporter)
    key = first_key_path(settings.home)
    body = f'{{"model": "{settings.model.name}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    snippet = f"""
With curl:
  curl {base}/chat/completions -H "Authorization: Bearer $(cat {key})" -H 'Content-Type: application/json' -d '{body}'

With the openai client:
  from openai import OpenAI
  client = OpenAI(base_url="{base}", api_key=open("{key}").read().strip())
  print(client.chat.completions.create(model="{settings.model.name}", messages=[{{"role": "user", "content": "Hello"}}]))
"""
    console.print(escape(snippet))
    alert = _evidence(outcome)
    if alert is not None:
        address = next((one.address for one in plan.components if one.name == "mlflow"), "")
        if trace := trace_page(settings, address, alert.trace_id):
            console.print(f"One trace, from the request to the alert and the retraining event:\n  {trace}")
        console.print(f"The same story here:  {weir} show {alert.evidence[-1]}")
    console.print(f"Stop everything:      {weir} down")
