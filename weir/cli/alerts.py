"""``weir alerts``, and the commands for silences."""

import asyncio
from typing import TYPE_CHECKING

import click
from msgspec.structs import asdict

from stream.count_text import count_text
from stream.wire import SilenceRecord
from weir.cli.options import follow_option, json_lines_option, json_option, reason_option, since_option
from weir.cli.render.event_stream import oldest_first, print_stream
from weir.cli.render.output import print_json, print_rows, printable, screen
from weir.home.access_log import log_access, user_name

if TYPE_CHECKING:
    from stream.settings import KafkaSettings
    from weir.client import Alert


@click.group(invoke_without_command=True)
@follow_option
@since_option
@json_lines_option
@click.option("--silenced", is_flag=True, help="Also show silenced alerts; JSON always has them, with a mark.")
@click.pass_context
def alerts(context: click.Context, *, follow: bool, since: str | None, as_json: bool, silenced: bool) -> None:
    """Show when alerts fired and resolved, oldest first. Without --since and --follow: all alerts that Kafka still has.

    A line has the event time at which the alert fired or resolved. --since selects the changes that Weir published since then; an
    alert that fired before is not shown again. With --follow, the lines are in the order in which Weir publishes the
    changes, so a line can have an earlier time than the line before it.

    Alerts about Weir itself (missing verdicts, lag, an inactive source) have tenant _weir.

    \b
    Examples:
      weir alerts --since 1h
      weir alerts --follow
      weir alerts --follow --json | jq -c 'select(.detector == "pii" and (.silenced | not))'
      weir alerts silence al_4f0c… --for 2h --reason 'load test until noon'
    """
    if context.invoked_subcommand is not None:
        return
    from weir.cli.render.alert import alert_line
    from weir.client import Client

    hidden = 0

    def show(alert: "Alert") -> None:
        nonlocal hidden
        if alert.silenced and not silenced:
            hidden += 1
        else:
            console.print(alert_line(alert), soft_wrap=True)

    stream = Client().alerts(since=since, follow=follow)
    if not follow:
        stream = oldest_first(stream, lambda alert: alert.at)
    if as_json:
        print_stream(stream, print_json, follow=follow)
        return
    console = screen()
    if not print_stream(stream, show, follow=follow) and not follow:
        click.echo("no alerts" + (f" since {since}" if since else ""), err=True)
    if hidden:
        click.echo(
            f"{count_text(hidden, 'silenced alert is', 'silenced alerts are')} hidden; --silenced shows {'it' if hidden == 1 else 'them'}, `weir alerts silences` why",
            err=True,
        )


@alerts.command("silence")
@click.argument("alert_id")
@click.option("--for", "duration", metavar="DURATION", required=True, help="How long: 1m to 30d (30m, 2h, 7d).")
@reason_option
@json_option
def silence(*, alert_id: str, duration: str, reason: str, as_json: bool) -> None:
    """Silence an alert. Later alerts with the same tenant, model, side, detector and feature are silenced too.

    A silenced alert sends no notification. It still opens, resolves, and counts for retraining and `weir status`. You can also
    silence a resolved alert. A new silence with the same scope replaces the old one.

    \b
    Examples:
      weir alerts silence al_4f0c2d… --for 2h --reason 'load test until noon'
      weir alerts silence al_4f0c2d… --for 30m --reason 'node 3 restarts' --json
    """
    from weir.client.times import format_time
    from weir.operate.silences import silence as make_silence

    kafka = _logged("weir alerts silence", alert_id=alert_id, duration=duration)
    made, resolved = asyncio.run(make_silence(kafka, alert_id, duration=duration, reason=reason, by=user_name()))
    if as_json:
        print_json(asdict(made))
        return
    click.echo(f"silenced {_scope(made)} until {format_time(made.until)}; `weir alerts unsilence {alert_id}` ends it")
    if resolved:
        click.echo("the alert is resolved; the silence applies if it fires again", err=True)


@alerts.command("unsilence")
@click.argument("name", metavar="ID")
@json_option
def unsilence(*, name: str, as_json: bool) -> None:
    """End a silence. ID is the id of the silence (si_…), or of an alert that it covers.

    Example: weir alerts unsilence al_4f0c2d…
    """
    from weir.client.times import format_time
    from weir.operate.silences import unsilence as end_silence

    kafka = _logged("weir alerts unsilence", silenced=name)
    ended = asyncio.run(end_silence(kafka, name, by=user_name()))
    if as_json:
        print_json([asdict(one) for one in ended])
        return
    for one in ended:
        until = format_time(one.until)
        click.echo(
            f"silence ended: {_scope(one)} (by {printable(one.by, kept='')}, until {until}: {printable(one.reason, kept='')})"
        )


@alerts.command("silences")
@json_option
def silences(*, as_json: bool) -> None:
    """List the silences in force. They are ordered by expiry; `weir alerts unsilence` accepts their ids.

    \b
    Examples:
      weir alerts silences
      weir alerts silences --json | jq -r '.[] | [.silence_id, .by, .reason] | @tsv'
    """
    from weir.client.times import format_time
    from weir.operate.silences import list_silences

    found = asyncio.run(list_silences(_kafka()))
    rows = [[format_time(one.until), _scope(one), one.by, one.reason, one.alert_id, one.silence_id] for one in found]
    columns = ["until", "scope", "by", "reason", "from alert", "id"]
    print_rows([asdict(one) for one in found], columns, rows, "nothing is silenced", as_json=as_json)


def _kafka() -> "KafkaSettings":
    from weir.client import effective_kafka
    from weir.settings import load_settings

    return effective_kafka(load_settings().settings)


def _logged(command: str, **what: str) -> "KafkaSettings":
    """Log a change of silences, and return the Kafka to write it to."""
    from weir.settings import home_folder

    log_access(home_folder(), command, **what)
    return _kafka()


def _scope(one: SilenceRecord) -> str:
    parts = (one.tenant, one.model, one.model_version, one.side, one.part, one.detector, one.feature)
    return printable("/".join(part for part in parts if part), kept="")
