"""How far a replay is: a bar on a terminal, a line every ten seconds elsewhere; always on standard error."""

import contextlib
import sys
import time
from collections.abc import Iterator

import click
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from stream.replay.report import Observe, Progress
from weir.cli.render.status import duration

__all__ = ["showing"]

_LINE_SECONDS = 10.0


@contextlib.contextmanager
def showing() -> Iterator[Observe]:
    """Show progress while the body runs."""
    if sys.stderr.isatty():
        with _bar() as observe:
            yield observe
    else:
        yield _Lines()


@contextlib.contextmanager
def _bar() -> Iterator[Observe]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rate]}"))
    with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading", total=None, rate="")

        def observe(progress: Progress) -> None:
            if not progress.done:
                return
            rate = f"{progress.events_per_second:.0f} events/s"
            bar.update(task, description="replaying", completed=progress.done, total=progress.total, rate=rate)

        yield observe


class _Lines:
    """Prints a line at the beginning, and then now and again."""

    def __init__(self) -> None:
        self._said: float | None = None

    def __call__(self, progress: Progress) -> None:
        if self._said is None:
            self._said = time.monotonic()
            click.echo("weir: the replay begins; Ctrl-C ends it", err=True)
        if time.monotonic() - self._said < _LINE_SECONDS:
            return
        self._said = time.monotonic()
        share = progress.done / progress.total if progress.total else 1.0
        left = "" if progress.left_seconds is None else f", {duration(progress.left_seconds)} to go"
        click.echo(f"weir: replayed {share:.0%}, {progress.events_per_second:.0f} events/s{left}", err=True)
