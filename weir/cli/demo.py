"""``weir demo``."""

import asyncio
import os
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape

from stream.count_text import count_text
from stream.wire import AlertRecord
from weir.cli.command_line import weir_command
from weir.cli.render.output import table
from weir.cli.up import interrupt_on_signals, print_addresses
from weir.errors import StackError
from weir.home.api_keys import first_key_path
from weir.local.plan import Plan
from weir.local.step_reporter import StepReporter

if TYPE_CHECKING:
    from weir.demo.run import Outcome
    from weir.settings import Settings

_NAMES = {"retraining": "retraining event", "promotion": "promotion", "rollback": "rollback of the bad version"}
#: The processes that the closed loop needs, and the detector that finds a bad version's answers.
_LOOP = {
    "WEIR_TRAIN__ENABLED": "true",
    "WEIR_DELIVERY__ENABLED": "true",
    "WEIR_DETECTORS__OUTPUT": '["pii", "toxicity", "refusal", "repetition", "tools"]',
}


@click.command()
@click.option("--quick", is_flag=True, help="End with the retraining request; train nothing.")
def demo(*, quick: bool) -> None:
    """Start the stack if it does not run, send requests, and show each step from their verdicts to a new model version.

    The requests have a new tenant (demo-…): ordinary prompts, then personal data, insults and prompt injection, then prompts
    about another subject. These requests must cause a PII, a toxicity and a drift alert and a retraining event within
    4 minutes (at most 20, if score reads a backlog of older records). Then reviewers correct answers, an adapter is trained on the
    corrections, the gate compares it with the base, a canary promotes it, and a bad version in a canary is rolled back. Exit status
    0 if all of this happens, else 1. The stack continues to run.

    \b
    Examples:
      weir demo
      weir demo --quick && weir status
    """
    from weir.client.times import format_duration
    from weir.demo.backlog import LIMIT_SECONDS, LONGEST_SECONDS
    from weir.demo.loop import LIMIT_SECONDS as LOOP_SECONDS
    from weir.demo.results import EXPECTED, LOOP_EXPECTED
    from weir.demo.run import run_demo
    from weir.local.up import bring_up
    from weir.settings import load_settings

    if not quick:
        os.environ.update({name: value for name, value in _LOOP.items() if name not in os.environ})
    loaded = load_settings()
    console = Console(highlight=False, emoji=False, soft_wrap=True)
    reporter = StepReporter(console)
    interrupt_on_signals()
    plan, _ = bring_up(loaded, reporter)
    if not quick:
        _check_loop(plan)
    console.print()
    outcome = asyncio.run(run_demo(loaded, console, quick=quick))
    expected = EXPECTED if quick else (*EXPECTED, *LOOP_EXPECTED)
    _summary(console, outcome, expected)
    _next_steps(console, reporter, loaded.settings, plan, outcome)
    if missing := outcome.results.missing(expected):
        backlog = f" ({outcome.backlog})" if outcome.backlog else ""
        click.echo(
            f"weir: not seen for the demo's requests: {', '.join(missing)}{backlog}. Limits: alerts and retraining event "
            f"{format_duration(LIMIT_SECONDS)}, {format_duration(LONGEST_SECONDS)} with a backlog; promotion and rollback "
            f"{format_duration(LOOP_SECONDS)} each. See `{weir_command()} status` and `{weir_command()} retraining`",
            err=True,
        )
        raise click.exceptions.Exit(1)


def _check_loop(plan: Plan) -> None:
    running = {component.name for component in plan.components}
    if absent := sorted({"trainer", "delivery"} - running):
        weir = weir_command()
        raise StackError(
            f"the running stack has no component {', '.join(absent)}, which the closed loop needs; run `{weir} down` and then "
            f"`{weir} demo`, or `{weir} demo --quick`"
        )


def _summary(console: Console, outcome: "Outcome", expected: tuple[str, ...]) -> None:
    results = outcome.results
    console.print(
        f"\n[bold]{outcome.answered}[/] requests answered, {outcome.refused} refused. Verdicts that flagged a text:"
    )
    for detector, (count, flagged) in sorted(results.verdicts.items()):
        console.print(f"  {detector:14} {flagged:4} of {count}")
    if suppressed := sum(entry.count for entry in results.suppressed.entries.values()):
        console.print(
            f"[dim]Retraining was suppressed {count_text(suppressed, 'time')}, for {count_text(len(results.suppressed.entries), 'reason')} (above).[/]"
        )
    rows = table("expected", "seen after", "summary")
    for name in expected:
        after = f"{results.seconds[name]:.0f} s" if name in results.seconds else "not seen"
        rows.add_row(_NAMES.get(name, f"{name} alert"), after, escape(_found(outcome, name)))
    console.print(rows)


def _found(outcome: "Outcome", name: str) -> str:
    if name == "retraining":
        return outcome.results.requested.reason if outcome.results.requested else ""
    if name in _NAMES:
        requested = outcome.results.requested
        identity = outcome.results.bad_id if name == "rollback" or requested is None else requested.retraining_id
        record = outcome.results.states.get(identity)
        return f"{record.state}: {record.model_version} {record.reason}" if record else ""
    return next((alert.summary for alert in outcome.results.alerts.values() if alert.detector == name), "")


def _evidence(outcome: "Outcome") -> "AlertRecord | None":
    """Return an alert with a trace and evidence, preferably the alert that caused the retraining event."""
    results = outcome.results
    involved = results.requested.alert_ids if results.requested else ()
    found = [alert for alert in results.alerts.values() if alert.trace_id and alert.evidence]
    return max(
        found, key=lambda alert: (alert.alert_id == results.tipping_alert, alert.alert_id in involved), default=None
    )


def _next_steps(console: Console, reporter: StepReporter, settings: "Settings", plan: Plan, outcome: "Outcome") -> None:
    from weir.operate.trace_links import trace_page
    from weir.sentinel.client import endpoint

    base, weir = endpoint(settings.http.host, settings.http.port), weir_command()
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
        if trace := trace_page(settings, alert.trace_id):
            console.print(f"One trace, from a request to its alert and the retraining event:\n  {trace}")
        console.print(f"The same request in the terminal:  {weir} show {alert.evidence[-1]}")
    promoted = (
        outcome.results.states.get(outcome.results.requested.retraining_id) if outcome.results.requested else None
    )
    if promoted is not None and promoted.model_version:
        console.print(f"Where the new version came from:   {weir} why {promoted.model_version}")
    console.print(f"Stop everything:                   {weir} down")
