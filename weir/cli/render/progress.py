"""How far long work is: a bar a step on a terminal, a line every ten seconds elsewhere; always on standard error."""

import contextlib
import sys
import time
from collections.abc import Iterator

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from detectors.evaluate.progress import Progress

__all__ = ["showing"]

_LINE_SECONDS = 10.0


@contextlib.contextmanager
def showing() -> Iterator[Progress]:
    """Show progress while the body runs."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        yield _Bars(bar)


class _Bars:
    """One bar a step; a step that follows ends the one before it."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._what: str | None = None
        self._task = bar.add_task("", visible=False, total=None)

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._what:
            self._what = what
            self._bar.stop_task(self._task)
            self._task = self._bar.add_task(what, total=total or None)
        self._bar.update(self._task, completed=done, total=total or None)


class _Lines:
    """Prints a line where a step begins, and then every ten seconds, with the time that is left."""

    def __init__(self) -> None:
        self._what: str | None = None
        self._begun = self._said = 0.0
        self._first = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self._what:
            self._what, self._begun, self._first = what, now, done
        elif now - self._said < _LINE_SECONDS:
            return
        self._said = now
        fresh = done - self._first
        left = f", {(now - self._begun) / fresh * (total - done):.0f} s to go" if fresh and total else ""
        click.echo(f"weir: {what}{f' {done} of {total}' if total else ''}{left}", err=True)
