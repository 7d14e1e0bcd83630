"""Show the steps of a start and their progress: a live table on a terminal, else plain lines."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_LINE_SECONDS = 10.0


class StepReporter:
    """Prints named steps to `console`: a live table, or a line for each change and every 10 s of waiting."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._started_at = time.monotonic()
        self._tasks: dict[str, TaskID] = {}
        self._step_started_at: dict[str, float] = {}
        self._printed_at: dict[str, float] = {}
        self._total = 0
        self._done = 0
        self._progress: Progress | None = None

    @contextmanager
    def steps(self, total: int) -> Iterator[Self]:
        """Report `total` steps while the body runs."""
        self._total, self._done = total, 0
        self._started_at = time.monotonic()
        if not self.console.is_terminal:
            yield self
            return
        columns = (
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.fields[name]:<10}"),
            BarColumn(bar_width=12),
            TimeElapsedColumn(),
            TextColumn("{task.description}", style="dim", markup=False),
        )
        with Progress(*columns, console=self.console) as self._progress:
            yield self
        self._progress, self._tasks = None, {}

    def say(self, text: str) -> None:
        """Print a line; square brackets and words in colons are printed literally, because paths, names and reasons contain them."""
        self.console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def begin(self, name: str, what: str) -> None:
        """Report that step `name` begins; `what` describes its work."""
        self._step_started_at[name] = self._printed_at[name] = time.monotonic()
        if self._progress is not None:
            self._tasks[name] = self._progress.add_task(what, total=None, name=name)
        else:
            self.say(f"{self._clock()} {name}: {what}")

    def waiting(self, name: str, detail: str, share: float | None = None) -> None:
        """Report that step `name` continues; `share` in [0, 1] is its progress, if known."""
        if self._progress is not None:
            completed = None if share is None else share * 100
            total = None if share is None else 100.0
            self._progress.update(self._tasks[name], description=detail, total=total, completed=completed)
        elif time.monotonic() - self._printed_at[name] >= _LINE_SECONDS:
            self._printed_at[name] = time.monotonic()
            progress = "" if share is None else f" ({share:.0%})"
            self.say(f"{self._clock()} {name}: still waiting{progress}: {detail}")

    def ready(self, name: str, detail: str) -> None:
        """Report that step `name` is done."""
        self._done += 1
        took = time.monotonic() - self._step_started_at[name]
        if self._progress is not None:
            self._progress.update(self._tasks[name], description=detail, total=1, completed=1)
            self._progress.stop_task(self._tasks[name])
        else:
            self.say(f"{self._clock()} {name}: ready after {took:.1f} s, {detail} ({self._done} of {self._total})")

    def _clock(self) -> str:
        return f"[{time.monotonic() - self._started_at:5.1f} s]"
