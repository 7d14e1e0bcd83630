"""``weir score``."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from detectors.errors import DetectorError
from detectors.registry import TEXT
from stream.settings import DetectorSettings
from weir.errors import WeirError
from weir.quality.scoring import BadLine, load_detectors, read_items, score_items
from weir.settings import load_settings

__all__ = ["score"]


@click.command()
@click.option("--detector", "names", multiple=True, metavar="NAME", help=f"One of {', '.join(TEXT)}; repeat for more.")
@click.option(
    "--side", type=click.Choice(["input", "output"]), default="input", help="Whose detectors, where none is named."
)
@click.argument("file", type=click.File("rb"), default="-")
def score(*, names: tuple[str, ...], side: str, file: IO[bytes]) -> None:
    """Run the detectors over FILE (default: standard input) in this process; no broker, no server.

    In: JSON lines {"id", "text"}, with the "prompt" that the text answers where detectors compare the two, or plain lines, whose id is
    their number. Out, in order: one JSON object a line. A bad
    line is reported with its number, is answered in its place with "error", and makes the exit status 1.

    \b
    Examples:
      echo 'Call me at +49 30 1234567' | weir score --detector pii
      weir score --side output answers.jsonl > verdicts.jsonl
    """  # noqa: D301 - click's \b keeps the lines as they are
    settings = load_settings().settings.detectors
    chosen = tuple(dict.fromkeys(names)) or _of_side(settings, side)
    try:
        detectors = load_detectors(chosen, settings.options)
    except DetectorError as error:
        raise WeirError(str(error)) from error
    bad = 0
    with _progress(file) as advance:
        for item, row in score_items(read_items(file), detectors):
            click.echo(msgspec.json.encode(row).decode())
            if isinstance(item, BadLine):
                bad += 1
                click.echo(f"weir: line {item.line}: {item.error}", err=True)
            advance()
    if bad:
        click.echo(f"weir: {bad} bad lines have no verdicts", err=True)
        raise click.exceptions.Exit(1)


def _of_side(settings: DetectorSettings, side: str) -> tuple[str, ...]:
    configured = settings.input if side == "input" else settings.output
    return tuple(name for name in configured if name in TEXT)


class _Advance:
    def __init__(self, progress: Progress | None, file: IO[bytes]) -> None:
        self._progress = progress
        self._task = progress.add_task("scoring", total=_lines(file)) if progress else None

    def __call__(self) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task)


@contextlib.contextmanager
def _progress(file: IO[bytes]) -> Iterator[_Advance]:
    """Show progress on standard error where it is a terminal and the results do not go to the same one."""
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield _Advance(None, file)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        yield _Advance(progress, file)


def _lines(file: IO[bytes]) -> int | None:
    """Count the lines of a file that can be read twice."""
    if not file.seekable():
        return None
    count = sum(1 for line in file if line.strip())
    file.seek(0, os.SEEK_SET)
    return count
