"""``weir alerts``."""

import click

from weir.cli.following import follow_option, show_stream, since_option, stream_json_option
from weir.client import Client
from weir.render import alert_line

__all__ = ["alerts"]


@click.command()
@follow_option
@since_option
@stream_json_option
def alerts(*, follow: bool, since: str | None, as_json: bool) -> None:
    """Show alerts as they fired and resolved, oldest first; all that the topic holds unless --since or --follow says less.

    Alerts on Weir itself (a verdict that did not come, lag, a silent source) have tenant _weir.

    \b
    Examples:
      weir alerts --since 1h
      weir alerts --follow
      weir alerts --follow --json | jq -c 'select(.severity == "critical")'
    """  # noqa: D301 - click's \b keeps the lines as they are
    show_stream(
        Client().alerts(since=since, follow=follow),
        alert_line,
        as_json=as_json,
        empty="" if follow else "no alerts" + (f" since {since}" if since else ""),
    )
