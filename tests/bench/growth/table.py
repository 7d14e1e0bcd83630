"""The pieces of the growth bench by name, and how their figures are printed."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from support.running_broker import start_broker

from bench.growth import PIECES, history, recovery, sources, tenants, workers
from weir.local.broker.kafka_jars import apache_available

Say = Callable[[str], None]
Row = dict[str, object]

#: Pieces that need no broker, and those that do.
_ALONE: dict[str, Callable[[], Iterable[Row]]] = {
    "ledger": history.ledger,
    "tenants": tenants.rows,
    "sources": sources.rows,
}
_WITH_BROKER: dict[str, Callable[[str, Path, Say], Awaitable[Iterable[Row]]]] = {
    "workers": workers.rows,
    "history": history.score,
    "recovery": recovery.rows,
}


def run(pieces: list[str], say: Say) -> None:
    """Run `pieces`, one after the other; those with a broker share one."""
    for name in pieces:
        if name in _ALONE:
            _print(PIECES[name], _ALONE[name](), say)
    if wanted := [name for name in pieces if name in _WITH_BROKER]:
        kind = "apache" if apache_available() else "embedded"
        with tempfile.TemporaryDirectory() as folder, start_broker(kind, Path(folder) / "broker") as broker:
            for name in wanted:
                measure, directory = _WITH_BROKER[name], Path(folder) / name
                directory.mkdir()
                _print(
                    f"{PIECES[name]} ({kind})", asyncio.run(_gathered(measure, broker.bootstrap, directory, say)), say
                )


async def _gathered(
    measure: Callable[[str, Path, Say], Awaitable[Iterable[Row]]], bootstrap: str, directory: Path, say: Say
) -> Iterable[Row]:
    return await measure(bootstrap, directory, say)


def _print(title: str, rows: Iterable[Row], say: Say) -> None:
    say(f"# growth, {title}")
    head: list[str] = []
    for row in rows:
        if list(row) != head:
            head = list(row)
            say("| " + " | ".join(head) + " |")
            say("|" + "---:|" * len(head))
        say("| " + " | ".join(_shown(value) for value in row.values()) + " |")


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
