"""Options that several commands share."""

import click

__all__ = ["follow_option", "json_lines_option", "json_option", "since_option"]

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
json_lines_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value per line.")
follow_option = click.option(
    "--follow", is_flag=True, help="Wait for new events until Ctrl-C; without --since, print only new events."
)
since_option = click.option(
    "--since", metavar="WHEN", help="Start at a duration before now (30s, 10m, 2h, 1d) or a time (RFC 3339)."
)
