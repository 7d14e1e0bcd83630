"""``weir retraining``."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from weir.cli.options import follow_option, json_lines_option, json_option, since_option
from weir.cli.render.event_stream import print_stream
from weir.cli.render.output import print_json, print_result, screen
from weir.errors import SettingsError

if TYPE_CHECKING:
    from weir.operate.retraining_decisions import Approval
    from weir.settings import Settings

_KEY = "WEIR_APPROVAL_KEY"


@click.group(invoke_without_command=True)
@follow_option
@since_option
@json_lines_option
@click.pass_context
def retraining(context: click.Context, *, follow: bool, since: str | None, as_json: bool) -> None:
    """Show retraining events, oldest first. A suppressed event states which conditions for retraining do not hold.

    Suppressed events of one model with the same failed conditions are one line, with their number and the times of the first and
    the newest event. --json, and --follow in a pipe, print every event.

    \b
    Examples:
      weir retraining
      weir retraining --since 1d --json | jq -r '[.state, .reason] | @tsv'
      weir retraining --follow
      weir retraining approve rt_0123456789abcdef --key-file approver.key
    """
    if context.invoked_subcommand is not None:
        return
    from weir.cli.render.retraining import retraining_view
    from weir.client import Client

    stream = Client().retraining(since=since, follow=follow)
    if as_json:
        print_stream(stream, print_json, follow=follow)
        return
    with retraining_view(screen(), follow=follow) as show:
        shown = print_stream(stream, show, follow=follow)
    if not shown and not follow:
        click.echo("no retraining events" + (f" since {since}" if since else ""), err=True)


_key_option = click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"File with an API key that has the scope approve; default: the environment variable {_KEY}.",
)
_reason_option = click.option("--reason", default="", help="Why; the reason is in the record.")


@retraining.command()
@click.argument("retraining_id")
@_key_option
@_reason_option
@json_option
def approve(*, retraining_id: str, key_file: Path | None, reason: str, as_json: bool) -> None:
    """Approve a retraining request. The trainer then begins (mode = "approve").

    The API key must belong to the tenant of the request and have the scope approve. Each attempt is logged with its result in
    logs/access.log under WEIR_HOME.

    Example: weir retraining approve rt_0123456789abcdef --key-file approver.key
    """
    _decide(retraining_id, "approved", key_file, reason, as_json=as_json)


@retraining.command()
@click.argument("retraining_id")
@_key_option
@_reason_option
@json_option
def reject(*, retraining_id: str, key_file: Path | None, reason: str, as_json: bool) -> None:
    """Reject a retraining request. Weir starts no training, and ends a training or a gate in progress.

    Keys and the access log are as for approve.

    Example: weir retraining reject rt_0123456789abcdef --key-file approver.key --reason 'holiday traffic'
    """
    _decide(retraining_id, "rejected", key_file, reason, as_json=as_json)


@retraining.command("resume")
@click.argument("retraining_id")
@_key_option
@json_option
def resume_command(*, retraining_id: str, key_file: Path | None, as_json: bool) -> None:
    """Let the trainer continue a request that failed.

    The trainer continues from the newest checkpoint. If the build of the dataset failed, a new build also uses the reviews since then. Keys and
    the access log are as for approve.

    Example: weir retraining resume rt_0123456789abcdef --key-file approver.key
    """
    _decide(retraining_id, "resumed", key_file, as_json=as_json)


def _decide(
    retraining_id: str,
    outcome: "Approval | Literal['resumed']",
    key_file: Path | None,
    reason: str = "",
    *,
    as_json: bool,
) -> None:
    from weir.client import effective_kafka
    from weir.operate.retraining_decisions import Decider, decide, resume
    from weir.settings import load_settings

    settings = load_settings().settings
    kafka = effective_kafka(settings)
    command = f"weir retraining {click.get_current_context().info_name}"
    decider = Decider(home=settings.home, key=_approval_key(key_file), command=command, tenants=settings.tenants)
    if outcome == "resumed":
        record = asyncio.run(resume(kafka, retraining_id, decider))
    else:
        record = asyncio.run(decide(kafka, retraining_id, outcome, decider, reason))
    text = f"{record.retraining_id} of {record.tenant}/{record.model} is {record.state} by {record.by}"
    print_result(record, text, as_json=as_json)
    if reason and record.reason != reason:
        click.echo(
            f"{record.retraining_id} was {record.state} before, with the reason {record.reason!r}; the new reason is not stored",
            err=True,
        )
    if outcome != "rejected":
        _note_no_trainer(settings, record.tenant)


def _note_no_trainer(settings: "Settings", tenant: str) -> None:
    """State why no trainer of Weir starts the request, if a setting is the reason."""
    from stream.loop.settings import loop_settings

    if loop_settings(settings.tenants, tenant).mode == "propose":
        click.echo(
            f'[tenants."{tenant}".loop] mode is "propose": only a trainer of your own starts the request; set "approve" for Weir\'s trainer',
            err=True,
        )
    if not settings.train.enabled:
        click.echo(
            "[train] enabled is false: unless a trainer runs elsewhere (as in containers), set it, and restart the stack",
            err=True,
        )


def _approval_key(key_file: Path | None) -> str:
    try:
        key = key_file.read_text(encoding="utf-8").strip() if key_file else os.environ.get(_KEY, "")
    except UnicodeDecodeError:
        raise SettingsError(
            f"--key-file {key_file} is not UTF-8 text; save a file in UTF-8 that contains only the API key"
        ) from None
    if not key:
        raise SettingsError(f"no API key: give --key-file FILE, or set {_KEY}; the key needs the scope approve")
    return key
