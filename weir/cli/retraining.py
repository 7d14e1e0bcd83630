"""``weir retraining``."""

import click

from weir.cli.options import follow_option, json_lines_option, since_option
from weir.cli.render.event_stream import print_stream
from weir.cli.render.output import print_json, screen

__all__ = ["retraining"]


@click.command()
@follow_option
@since_option
@json_lines_option
def retraining(*, follow: bool, since: str | None, as_json: bool) -> None:
    """Show retraining events, oldest first. A suppressed event states what the failed gates (conditions for retraining) need.

    Suppressed events of one model with the same failing gates are one line, with their number and the times of the first and the
    newest event. --json prints every event.

    \b
    Examples:
      weir retraining
      weir retraining --since 1d --json | jq -r '[.state, .reason] | @tsv'
      weir retraining --follow
    """  # noqa: D301 - click's \b keeps the lines as they are
    from weir.cli.render.retraining import retraining_view
    from weir.client import Client

    stream = Client().retraining(since=since, follow=follow)
    if as_json:
        print_stream(stream, print_json)
        return
    with retraining_view(screen(), follow=follow) as view:
        shown = print_stream(stream, view.show, view.refresh)
    if not shown and not follow:
        click.echo("no retraining events" + (f" since {since}" if since else ""), err=True)
