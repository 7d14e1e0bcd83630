"""JSON, tables and text for terminals and pipes."""

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.segment import Segment
    from rich.table import Table
    from rich.text import Text

#: No line breaks in a pipe: a program that reads lines needs whole ones.
_PIPED_WIDTH = 100_000


def print_json(value: Any) -> None:
    """Print `value` as one JSON value on one line, with escapes for control characters: a prompt must not control the terminal."""
    import msgspec

    text = msgspec.json.encode(value).decode()
    click.echo(text if text.isprintable() else "".join(map(_escaped, text)))


def _escaped(char: str) -> str:
    """Return a character of a JSON text; a control character as its JSON escape."""
    return char if char.isprintable() else json.dumps(char)[1:-1].replace("\x7f", "\\u007f")


def print_result(value: Any, text: str, *, as_json: bool) -> None:
    """Print `value` as JSON if `as_json` is true, else print `text`."""
    print_json(value) if as_json else click.echo(text)


def screen() -> "Console":
    """Return a console on standard output; it prints no control characters, and neither markup nor emoji codes have an effect."""
    from rich.console import Console

    class Screen(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            # A table can be wider than the terminal, which wraps its rows.
            super().print(*objects, **{"crop": False} | options)

        def render_str(self, text: str, **options: Any) -> "Text":
            return super().render_str(printable(text), **options)  # Rich measures the cells of a table with it

        def render(self, renderable: "RenderableType", options: "ConsoleOptions | None" = None) -> "Iterator[Segment]":
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=printable(segment.text))

    console = Screen(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    return console


def table(*columns: str) -> "Table":
    """Return an empty table without borders.

    It breaks lines only at spaces, because an id, a path or an address must stay whole to be copied. If the terminal is too narrow
    for that, each row is one line, which the terminal wraps.
    """
    from rich.measure import Measurement
    from rich.table import Table

    class WholeWords(Table):
        def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
            wide = options.update(width=_PIPED_WIDTH)
            for column in self.columns:
                cells = [Measurement.get(console, wide, cell) for cell in (column.header, *column.cells)]
                column.min_width = max(cell.minimum for cell in cells)
                column.no_wrap = column.min_width == max(cell.maximum for cell in cells)
            fits = Measurement.get(console, wide, self).minimum <= options.max_width
            return super().__rich_console__(console, options if fits else wide)

    found = WholeWords(*columns, box=None, pad_edge=False, header_style="bold")
    for column in found.columns:
        column.overflow = "fold"
    return found


def print_table(columns: list[str], rows: list[list[str]], empty: str) -> None:
    """Print a table, or the line `empty` if there are no rows."""
    if not rows:
        click.echo(empty)
        return
    found = table(*columns)
    for row in rows:
        found.add_row(*row)
    screen().print(found)


def print_rows(value: Any, columns: list[str], rows: list[list[str]], empty: str, *, as_json: bool) -> None:
    """Print `value` as JSON if `as_json` is true, else print a table as :func:`print_table`."""
    if as_json:
        print_json(value)
    else:
        print_table(columns, rows, empty)


def printable(text: str, kept: str = "\t\n") -> str:
    """Replace control characters, except those in `kept`, because a prompt or a name must not control the terminal."""
    return "".join(char if char.isprintable() or char in kept else "\ufffd" for char in text)
