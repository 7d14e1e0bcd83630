"""Format retraining events as lines of text; suppressed events with the same reason are one line."""

import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from stream.count_text import count_text
from weir.client import Retraining
from weir.client.times import format_time
from weir.operate.retraining import RetrainingEntry, RetrainingHistory

_STATE_STYLE = {"requested": "bold magenta", "promoted": "green", "rolled_back": "red"}
#: Number of entries that a terminal redraws; older entries are printed and do not change.
_REDRAWN = 8
_REDRAWN_STATES = ("suppressed", "progress")
_PRINT_SECONDS = 60.0


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
def retraining_view(console: Console, *, follow: bool) -> Iterator["_Collected"]:
    """Yield a view of retraining events.

    If `follow` is true, the view prints each event immediately, and the caller must call its `refresh` every second.
    If `follow` is false, the view prints all events when the body ends.
    """
    if not follow:
        collected = _Collected()
        yield collected
        for entry in collected.history.entries.values():
            console.print(entry_line(entry), soft_wrap=True)
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield _Redrawn(live)
    else:
        yield _Paced(console)


class _Collected:
    def __init__(self) -> None:
        self.history: RetrainingHistory[Retraining] = RetrainingHistory()

    def show(self, event: Retraining) -> None:
        self.history.add(event)

    def refresh(self) -> None:
        pass


class _Redrawn(_Collected):
    """On a terminal: shows the newest suppressed entries and the progress in the last lines, and redraws these lines at each change."""

    def __init__(self, live: Live) -> None:
        super().__init__()
        self._live = live
        self._drawn: OrderedDict[Hashable, Text] = OrderedDict()

    def show(self, event: Retraining) -> None:
        key = self.history.add(event)
        line = entry_line(self.history.entries[key])
        if event.state not in _REDRAWN_STATES:
            self._live.console.print(line)
        else:
            self._drawn[key] = line
            self._drawn.move_to_end(key)
            if len(self._drawn) > _REDRAWN:
                self._live.console.print(self._drawn.popitem(last=False)[1])
        self._live.update(Group(*self._drawn.values()), refresh=True)


class _Paced(_Collected):
    """Without a terminal: prints an entry when it is new, and then its changes at most once per minute."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._due: dict[Hashable, float] = {}
        self._waiting: set[Hashable] = set()

    def show(self, event: Retraining) -> None:
        self._waiting.add(self.history.add(event))
        self.refresh()

    def refresh(self) -> None:
        now = time.monotonic()
        for key in [key for key in self._waiting if now >= self._due.get(key, now)]:
            self._waiting.remove(key)
            self._due[key] = now + _PRINT_SECONDS
            self._console.print(entry_line(self.history.entries[key]), soft_wrap=True)
