"""``weir demo``."""

import asyncio
from typing import TYPE_CHECKING

import click

from weir.cli.command_line import weir_command
from weir.cli.render.output import table
from weir.cli.up import interrupt_on_signals, print_addresses

if TYPE_CHECKING:
    from rich.console import Console

    from stream.wire import AlertRecord
    from weir.demo.run import Outcome
    from weir.local.plan import Plan
    from weir.local.step_reporter import StepReporter
    from weir.settings import Settings

__all__ = ["demo"]


@click.command()
def demo() -> None:
    """Start the stack if it does not run, send requests, and show their verdicts, alerts and retraining event.

    The requests have a new tenant (demo-…): ordinary prompts, then personal data, insults and prompt injection, then prompts
    about another subject. Exit status 0 if these requests cause a PII, a toxicity and a drift alert and a retraining event
    within 4 minutes, else 1. While the score stage reads a backlog of older records, the time limit is extended, to at most
    20 minutes. The stack continues to run.

    \b
    Examples:
      weir demo
      weir demo && weir status
    """  # noqa: D301 - click's \b keeps the lines as they are
    from rich.console import Console

    from weir.client.times import format_duration
    from weir.demo.backlog import LIMIT_SECONDS, LONGEST_SECONDS
    from weir.demo.run import run_demo
    from weir.local.step_reporter import StepReporter
    from weir.local.up import bring_up
    from weir.settings import load_settings

    loaded = load_settings()
    console = Console(highlight=False, soft_wrap=True)
    reporter = StepReporter(console)
    interrupt_on_signals()
    plan, _ = bring_up(loaded, reporter)
    console.print()
    outcome = asyncio.run(run_demo(loaded, console))
    _summary(console, outcome)
    _next_steps(console, reporter, loaded.settings, plan, outcome)
    if missing := outcome.results.missing():
        backlog = f" ({outcome.backlog})" if outcome.backlog else ""
        click.echo(
            f"weir: not seen for the demo's requests within {format_duration(LIMIT_SECONDS)}, or {format_duration(LONGEST_SECONDS)} "
            f"with a backlog: {', '.join(missing)}{backlog}; see `{weir_command()} status`",
            err=True,
        )
        raise click.exceptions.Exit(1)


def _summary(console: "Console", outcome: "Outcome") -> None:
    from rich.markup import escape

    from weir.demo.results import EXPECTED

    results = outcome.results
    console.print(
        f"\n[bold]{outcome.answered}[/] requests answered, {outcome.refused} refused. Verdicts that flagged a text:"
    )
    for detector, (count, flagged) in sorted(results.verdicts.items()):
        console.print(f"  {detector:14} {flagged:4} of {count}")
    if suppressed := sum(entry.count for entry in results.suppressed.entries.values()):
        console.print(
            f"[dim]Retraining was suppressed {suppressed} times, for {len(results.suppressed.entries)} reasons (above).[/]"
        )
    rows = table("expected", "seen after", "summary")
    for name in EXPECTED:
        after = f"{results.seconds[name]:.0f} s" if name in results.seconds else "not seen"
        rows.add_row(
            f"{name} alert" if name != "retraining" else "retraining event", after, escape(_found(outcome, name))
        )
    console.print(rows)


def _found(outcome: "Outcome", name: str) -> str:
    if name == "retraining":
        return outcome.results.requested.reason if outcome.results.requested else ""
    return next((alert.summary for alert in outcome.results.alerts.values() if alert.detector == name), "")


def _evidence(outcome: "Outcome") -> "AlertRecord | None":
    """Return an alert with a trace and evidence, preferably the alert that caused the retraining event."""
    results = outcome.results
    involved = results.requested.alert_ids if results.requested else ()
    found = [alert for alert in results.alerts.values() if alert.trace_id and alert.evidence]
    return max(
        found, key=lambda alert: (alert.alert_id == results.tipping_alert, alert.alert_id in involved), default=None
    )


def _next_steps(
    console: "Console", reporter: "StepReporter", settings: "Settings", plan: "Plan", outcome: "Outcome"
) -> None:
    from rich.markup import escape

    from weir.home.api_keys import first_key_path
    from weir.operate.trace_links import trace_page

    base, weir = f"http://{settings.http.host}:{settings.http.port}/v1", weir_command()
    console.print("\nThe stack continues to run:")
    print_addresses(settings, plan, reporter)
    key = first_key_path(settings.home)
    body = f'{{"model": "{settings.first_model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    snippet = f"""
With curl:
  curl {base}/chat/completions -H "Authorization: Bearer $(cat {key})" -H 'Content-Type: application/json' -d '{body}'

With the openai client:
  from openai import OpenAI
  client = OpenAI(base_url="{base}", api_key=open("{key}").read().strip())
  print(client.chat.completions.create(model="{settings.first_model}", messages=[{{"role": "user", "content": "Hello"}}]))
"""
    console.print(escape(snippet))
    alert = _evidence(outcome)
    if alert is not None:
        address = next((component.address for component in plan.components if component.name == "mlflow"), "")
        if trace := trace_page(settings, address, alert.trace_id):
            console.print(f"One trace, from a request to its alert and the retraining event:\n  {trace}")
        console.print(f"The same request in the terminal:  {weir} show {alert.evidence[-1]}")
    console.print(f"Stop everything:                   {weir} down")
