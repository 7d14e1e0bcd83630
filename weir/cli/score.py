"""``weir score``."""

import contextlib
import os
import sys
from typing import IO

import click

from detectors.evaluate.progress import Progress, no_progress, tracked
from detectors.registry import TEXT
from stream.count_text import count_text
from stream.settings import DetectorSettings
from weir.cli.options import json_lines_option
from weir.cli.render.output import print_json
from weir.cli.render.progress import progress_on_stderr
from weir.cli.render.standard_streams import output_closed
from weir.home.compute import decided
from weir.quality.scoring import BadLine, load_detectors, read_items, score_items
from weir.settings import load_settings


@click.command()
@click.option("--detector", "names", multiple=True, metavar="NAME", help=f"One of {', '.join(TEXT)}; repeatable.")
@click.option(
    "--side",
    type=click.Choice(["input", "output"]),
    default="input",
    help="Without --detector: the detectors of this side.",
)
@json_lines_option
@click.argument("file", type=click.File("rb"), default="-")
def score(*, names: tuple[str, ...], side: str, as_json: bool, file: IO[bytes]) -> None:
    """Run detectors over the texts in FILE (default: standard input), without Kafka or a server.

    The input has one text per line: either JSON objects with "id" and "text", or plain text. The first line that is not
    empty decides: if it begins with "{", every line must be a JSON object; else every line is plain text, also a line that
    looks like JSON. The id of a plain text, and of an object without "id", is its line number. Detectors that compare an
    answer with its prompt also need "prompt".

    The output has one JSON object per input line, in the same order; empty lines are counted but have no object. For an
    invalid line, the object has "error", the line number is printed, and the exit status is 1.

    \b
    Examples:
      echo 'Call me at +49 30 1234567' | weir score --detector pii
      weir score --side output answers.jsonl > verdicts.jsonl
    """
    del as_json  # the output is JSON in any case
    settings = decided(load_settings().settings).detectors
    chosen = tuple(dict.fromkeys(names)) or _of_side(settings, side)
    detectors = load_detectors(chosen, settings.options)
    bad, total = 0, _count_lines(file)
    with _progress() as show:
        for item, row in tracked(show, "scoring", score_items(read_items(file), detectors), total):
            print_json(row)
            if isinstance(item, BadLine):
                bad += 1
                click.echo(f"weir: line {item.line}: {item.error}", err=True)
            if output_closed():
                break
    if bad:
        click.echo(f"weir: {count_text(bad, 'bad line has', 'bad lines have')} no verdicts", err=True)
        raise click.exceptions.Exit(1)


def _of_side(settings: DetectorSettings, side: str) -> tuple[str, ...]:
    configured = settings.input if side == "input" else settings.output
    return tuple(name for name in configured if name in TEXT)


def _progress() -> contextlib.AbstractContextManager[Progress]:
    """Show progress if standard error is a terminal and standard output is not."""
    if sys.stderr.isatty() and not sys.stdout.isatty():
        return progress_on_stderr()
    return contextlib.nullcontext(no_progress)


def _count_lines(file: IO[bytes]) -> int:
    """Return the number of lines that are not empty, or 0 if the file cannot be read twice (a pipe)."""
    if not file.seekable():
        return 0
    count = sum(1 for line in file if line.strip())
    file.seek(0, os.SEEK_SET)
    return count
