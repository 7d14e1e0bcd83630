"""What the subcommands print: JSON for programs, tables for people."""

from typing import Any

import click
import msgspec

__all__ = ["json_option", "print_json", "print_table"]

_PIPED_WIDTH = 240

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")


def print_json(value: Any) -> None:
    """Print `value` as one JSON value on one line."""
    click.echo(msgspec.json.encode(value).decode())


def print_table(columns: list[str], rows: list[list[str]], empty: str) -> None:
    """Print a table, or the line `empty` where there are no rows."""
    if not rows:
        click.echo(empty)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    out = Console(highlight=False, markup=False)
    if not out.is_terminal:
        out.width = _PIPED_WIDTH
    out.print(table)
