"""``weir alerts``, and the silences of what they are about."""

import asyncio
from typing import TYPE_CHECKING

import click

from weir.cli.render.event_stream import follow_option, show_stream, since_option, stream_json_option
from weir.cli.render.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from stream.settings import KafkaSettings
    from weir.operate.silences import Silence

__all__ = ["alerts"]


@click.group(invoke_without_command=True)
@follow_option
@since_option
@stream_json_option
@click.option("--silenced", is_flag=True, help="Also show what is silenced; JSON has it anyway, marked.")
@click.pass_context
def alerts(context: click.Context, *, follow: bool, since: str | None, as_json: bool, silenced: bool) -> None:
    """Show alerts as they fired and resolved, oldest first; all that the topic holds unless --since or --follow says less.

    Alerts on Weir itself (a verdict that did not come, lag, a silent source) have tenant _weir.

    \b
    Examples:
      weir alerts --since 1h
      weir alerts --follow
      weir alerts --follow --json | jq -c 'select(.detector == "pii" and (.silenced | not))'
      weir alerts silence al_4f0c… --for 2h --reason 'load test until noon'
    """  # noqa: D301 - click's \b keeps the lines as they are
    if context.invoked_subcommand is not None:
        return
    from weir.cli.render.status import alert_line
    from weir.client import Client

    left_out = show_stream(
        Client().alerts(since=since, follow=follow),
        alert_line,
        as_json=as_json,
        empty="" if follow else "no alerts" + (f" since {since}" if since else ""),
        told=lambda alert: as_json or silenced or not alert.silenced,
    )
    if left_out:
        click.echo(f"{left_out} silenced left out; --silenced shows them, `weir alerts silences` says why", err=True)


@alerts.command("silence")
@click.argument("alert_id")
@click.option("--for", "duration", metavar="DURATION", required=True, help="How long: 1m to 30d (30m, 2h, 7d).")
@click.option("--reason", metavar="TEXT", required=True, help="Why, for whoever is on call next.")
@json_option
def silence(*, alert_id: str, duration: str, reason: str, as_json: bool) -> None:
    """Silence what alert ALERT_ID is about (its tenant, model, side, detector and feature), now and when it fires again.

    It is not told, and all else goes on: it opens, resolves, counts for retraining and for `weir status`. A resolved alert may be
    named too. Silencing the same again replaces the silence.

    \b
    Examples:
      weir alerts silence al_4f0c2d… --for 2h --reason 'load test until noon'
      weir alerts silence al_4f0c2d… --for 30m --reason 'node 3 restarts' --json
    """  # noqa: D301 - click's \b keeps the lines as they are
    from weir.cli.render.status import clock
    from weir.client import parse_duration
    from weir.home.access_log import user_name
    from weir.operate.silences import silence as make_silence

    seconds = parse_duration(duration).total_seconds()
    made, resolved = asyncio.run(make_silence(_kafka(), alert_id, seconds=seconds, reason=reason, by=user_name()))
    if as_json:
        print_json(made)
        return
    click.echo(f"silenced {_thing(made)} until {clock(made.until)}; `weir alerts unsilence {alert_id}` ends it")
    if resolved:
        click.echo("the alert is resolved already: what is silenced is its firing again", err=True)


@alerts.command("unsilence")
@click.argument("name", metavar="ID")
@json_option
def unsilence(*, name: str, as_json: bool) -> None:
    """End a silence; ID is that of an alert that it mutes, or its own (si_…). What it muted shows in `weir alerts` as it was.

    Example: weir alerts unsilence al_4f0c2d…
    """
    from weir.cli.render.status import clock
    from weir.home.access_log import user_name
    from weir.operate.silences import unsilence as end_silence

    ended = asyncio.run(end_silence(_kafka(), name, by=user_name()))
    if as_json:
        print_json(ended)
        return
    for one in ended:
        click.echo(f"told again: {_thing(one)} (was silenced by {one.by} until {clock(one.until)}: {one.reason})")


@alerts.command("silences")
@json_option
def silences(*, as_json: bool) -> None:
    """List the silences that hold now, the one that ends first first.

    \b
    Examples:
      weir alerts silences
      weir alerts silences --json | jq -r '.[] | [.silence_id, .by, .reason] | @tsv'
    """  # noqa: D301 - click's \b keeps the lines as they are
    from weir.cli.render.status import clock
    from weir.operate.silences import list_silences

    found = asyncio.run(list_silences(_kafka()))
    if as_json:
        print_json(found)
        return
    rows = [[clock(one.until), _thing(one), one.by, one.reason, one.alert_id] for one in found]
    print_table(["until", "what", "by", "reason", "made from"], rows, "nothing is silenced")


def _kafka() -> "KafkaSettings":
    from weir.client import effective_kafka
    from weir.settings import load_settings

    return effective_kafka(load_settings().settings)


def _thing(one: "Silence") -> str:
    parts = (one.tenant, one.model, one.side, one.detector, one.feature)
    return "/".join(part for part in parts if part)
