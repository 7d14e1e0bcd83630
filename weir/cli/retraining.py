"""``weir retraining``."""

import click

from weir.cli.render.event_stream import follow_option, show_stream, since_option, stream_json_option

__all__ = ["retraining"]


@click.command()
@follow_option
@since_option
@stream_json_option
def retraining(*, follow: bool, since: str | None, as_json: bool) -> None:
    """Show retraining events, oldest first: requested, or suppressed with the gate that said no, and what came after.

    \b
    Examples:
      weir retraining
      weir retraining --since 1d --json | jq -r '[.state, .reason] | @tsv'
      weir retraining --follow
    """  # noqa: D301 - click's \b keeps the lines as they are
    from weir.cli.render.status import retraining_line
    from weir.client import Client

    show_stream(
        Client().retraining(since=since, follow=follow),
        retraining_line,
        as_json=as_json,
        empty="" if follow else "no retraining events" + (f" since {since}" if since else ""),
    )
