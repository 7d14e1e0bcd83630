"""Format retraining events as lines of text; suppressed events with the same reason are one line, except in a pipe with ``--follow``."""

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from stream.count_text import count_text
from weir.client import Retraining
from weir.client.times import format_time
from weir.operate.retraining_history import RetrainingEntry, RetrainingHistory

_STATE_STYLE = {"requested": "bold magenta", "promoted": "green", "rolled_back": "red"}
#: Number of entries that a terminal redraws; older entries are printed and do not change.
_REDRAWN = 8
_REDRAWN_STATES = ("suppressed", "progress")


def entry_line(entry: RetrainingEntry[Retraining]) -> Text:
    """Return time, state, model, version and reason; if the entry groups several events, also their number and first time."""
    event = entry.event
    count = f"{entry.count} times since {format_time(entry.first_at)}, newest " if entry.count > 1 else ""
    alerts = f", {count_text(len(event.alert_ids), 'alert')}" if event.alert_ids else ""  # delivery names none
    return Text.assemble(
        (f"{format_time(event.at)}  ", "dim"),
        (f"{event.state:11}  ", _STATE_STYLE.get(event.state, "bold")),
        "  ".join(
            filter(None, (f"{event.tenant}/{event.model}", event.model_version, event.reason or _measured(event)))
        ),
        (f"  ({count}{event.retraining_id}{alerts})", "dim"),
    )


def _measured(event: Retraining) -> str:
    """Return the measurements of a state without reason."""
    numbers = event.numbers
    shown: dict[str, Callable[[float], str]] = {
        "step": lambda step: f"step {step:.0f}" + (f" of {numbers['steps']:.0f}" if "steps" in numbers else ""),
        "loss": lambda loss: f"loss {loss:.3f}",
        "seconds": lambda seconds: f"{seconds:.0f} s",
        "train": lambda rows: f"{count_text(round(rows), 'row')} to train on",
        "eval": lambda rows: f"{rows:.0f} held out",
    }
    return ", ".join(text(numbers[name]) for name, text in shown.items() if name in numbers)


@contextlib.contextmanager
def retraining_view(console: Console, *, follow: bool) -> Iterator[Callable[[Retraining], object]]:
    """Yield a function that shows a retraining event.

    If `follow` is true, it shows each event immediately; without a terminal, each event is a line.
    If `follow` is false, all entries are printed when the body ends.
    """
    if not follow:
        history: RetrainingHistory[Retraining] = RetrainingHistory()
        yield history.add
        for entry in history.entries.values():
            console.print(entry_line(entry), soft_wrap=True)
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield _Redrawn(live).show
    else:
        yield lambda event: console.print(
            entry_line(RetrainingEntry(event=event, count=1, first_at=event.at)), soft_wrap=True
        )


class _Redrawn:
    """Shows the newest suppressed entries and the progress in the last lines, and redraws these lines at each change."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._history: RetrainingHistory[Retraining] = RetrainingHistory()
        self._drawn: OrderedDict[Hashable, Text] = OrderedDict()

    def show(self, event: Retraining) -> None:
        key = self._history.add(event)
        line = entry_line(self._history.entries[key])
        if event.state not in _REDRAWN_STATES:
            self._live.console.print(line)
        else:
            self._drawn[key] = line
            self._drawn.move_to_end(key)
            if len(self._drawn) > _REDRAWN:
                self._live.console.print(self._drawn.popitem(last=False)[1])
        self._live.update(Group(*self._drawn.values()), refresh=True)
