"""Run the named parts (default: all) and print a table for each."""

import asyncio
import sys

from bench.growth import history, recovery, workers
from bench.rounds import local_broker

PIECES = {
    "workers": workers.rows,
    "history": history.score,
    "ledger": history.ledger,
    "recovery": recovery.rows,
}


async def table(rows) -> None:
    """Print each row as soon as it is measured."""
    head = []
    async for row in rows:
        if not head:
            head = list(row)
            print(f"| {' | '.join(head)} |\n|{'---:|' * len(head)}", flush=True)
        print(f"| {' | '.join(shown(value) for value in row.values())} |", flush=True)


def shown(value: float) -> str:
    return f"{value:,.1f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"


if __name__ == "__main__":
    with local_broker() as (broker, folder):
        for name in sys.argv[1:] or PIECES:
            print(f"# growth.{name} ({broker.kind})")
            asyncio.run(table(PIECES[name](broker.bootstrap, folder / name)))
