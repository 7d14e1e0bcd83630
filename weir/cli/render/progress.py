"""Show the progress of long work on standard error: a bar per step on a terminal, else a line every ten seconds."""

import contextlib
import sys
import time
from collections.abc import Iterator

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from detectors.evaluate.progress import Progress

_LINE_SECONDS = 10.0


@contextlib.contextmanager
def progress_on_stderr() -> Iterator[Progress]:
    """Show progress while the body runs."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        yield _Steps(bars)


class _Steps:
    """Shows one progress bar per step on a terminal."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._step: str | None = None
        self._task = bars.add_task("", visible=False, total=None)

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._step:
            self._step = what
            self._bars.stop_task(self._task)
            self._task = self._bars.add_task(what, total=total or None)
        self._bars.update(self._task, completed=done, total=total or None)


class _Lines:
    """Prints a line when a step begins and then every ten seconds, with the rate and the remaining time."""

    def __init__(self) -> None:
        self._step: str | None = None
        self._began = self._printed = 0.0
        self._first = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self._step:
            self._step, self._began, self._first = what, now, done
        elif now - self._printed < _LINE_SECONDS:
            return
        self._printed = now
        rate = (done - self._first) / (now - self._began) if now > self._began else 0.0
        left = f", {rate:.3g}/s, {(total - done) / rate:.0f} s left" if rate and total else ""
        click.echo(f"weir: {what}{f' {done} of {total}' if total else ''}{left}", err=True)
