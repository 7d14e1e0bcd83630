"""``weir status``."""

import asyncio

import click

from weir.cli.options import json_option
from weir.cli.render.output import print_json, screen


@click.command()
@json_option
def status(*, as_json: bool) -> None:
    """Show components with health and logs, capture counts, consumer lag, and coverage (completed of expected verdicts).

    Exit status 0 if the stack is healthy, else 1. The stack is not healthy if a component does not run or answer, Kafka does not
    answer, the ledger sends no heartbeat, all sources (gateways, intake) are inactive, the clock of a source is ahead, verdicts are
    missing, a spool is 80 % full, the disk is full, or an alert about Weir itself fires (gap, lag, spool, silence), even a silenced
    one. A note names the tables of settings that have changed since `weir up`.

    \b
    Examples:
      weir status
      weir status --json | jq .coverage.ratio
      watch -c weir status
    """
    from weir.cli.render.status import status_view
    from weir.operate.status import gather_status
    from weir.settings import load_settings

    found = asyncio.run(gather_status(load_settings().settings))
    if as_json:
        print_json(found)
    else:
        screen().print(status_view(found))
    if not found.healthy:
        raise click.exceptions.Exit(1)
