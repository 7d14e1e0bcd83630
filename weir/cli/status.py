"""``weir status``."""

import asyncio

import click

from weir.cli.render.output import json_option, print_json

__all__ = ["status"]


@click.command()
@json_option
def status(*, as_json: bool) -> None:
    """Show each component, its health and log, what capture accepted, lag, and the coverage of what is owed.

    Exit status 0 when everything is healthy, 1 when not. Not healthy: a component that does not run or answer, every
    source silent, verdicts missing, a spool that is 80 % full, or an alert about Weir itself (gap, lag, silence, spool).

    \b
    Examples:
      weir status
      weir status --json | jq .coverage.ratio
      watch -c weir status
    """  # noqa: D301 - click's \b keeps the lines as they are
    from weir.cli.render.status import screen, status_view
    from weir.operate.status import gather_status
    from weir.settings import load_settings

    found = asyncio.run(gather_status(load_settings().settings))
    if as_json:
        print_json(found)
    else:
        screen().print(status_view(found))
    if not found.healthy:
        raise click.exceptions.Exit(1)
