"""Peak memory of each stage with a small and with a large backlog; tests/integration/backpressure asserts the small ones."""

import asyncio
from pathlib import Path

from support.backlog import ledger_peak, score_peak, shipper_peak
from support.flood import flood_peaks
from support.memory import MIB

from bench.rounds import local_broker

SCORE_EVENTS = (5_000, 50_000)
LEDGER_EVENTS = (5_000, 200_000)
SPOOL_BYTES = (16 * MIB, 1024 * MIB)
FLOOD = 2_000
RECORD_BYTES = 10_000


def say(process: str, peak: int) -> None:
    print(f"{process}: {peak / MIB:.0f} MiB", flush=True)


async def measure(bootstrap: str, folder: Path) -> None:
    at_capacity, in_flood, statuses = await flood_peaks(folder / "flood", FLOOD)
    say("gateway, 350 KB per request, at capacity", at_capacity)
    say(f"gateway, {FLOOD} at once ({statuses})", in_flood)
    for events in SCORE_EVENTS:
        peak = await score_peak(bootstrap, folder / f"score-{events}", events)
        say(f"score, a detector of 0.2 s per batch of four, a backlog of {events:,} events of 10 KB", peak)
    for events in LEDGER_EVENTS:
        peak = await ledger_peak(bootstrap, folder / f"ledger-{events}", events)
        say(f"ledger, a backlog of {events:,} events and as many verdicts", peak)
    for size in SPOOL_BYTES:
        peak, found = await shipper_peak(bootstrap, folder / f"shipper-{size}", size // RECORD_BYTES, RECORD_BYTES)
        say(f"shipper, a spool of {found / MIB:,.0f} MiB", peak)


if __name__ == "__main__":
    with local_broker() as (broker, folder):
        asyncio.run(measure(broker.bootstrap, folder))
