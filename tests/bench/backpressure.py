"""Peak memory of each stage in front of a small and a large backlog; the tests in tests/integration/backpressure assert the small ones."""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from support.backlog import ledger_peak, score_peak, shipper_peak
from support.flood import flood_peaks
from support.memory import MIB
from support.running_broker import start_broker

from weir.local.broker.kafka_jars import apache_available

GIB = 1024 * MIB
SCORE_EVENTS = (5_000, 50_000)
LEDGER_EVENTS = (5_000, 200_000)
SPOOL_BYTES = (16 * MIB, GIB)
FLOOD = 2_000
_RECORD_BYTES = 10_000

Say = Callable[[str], None]


def run(say: Say) -> None:
    """Print a line a stage."""
    kind = "apache" if apache_available() else "embedded"
    say(f"# backpressure: peak memory of the process that has a backlog before it ({kind})")
    with tempfile.TemporaryDirectory() as folder, start_broker(kind, Path(folder) / "broker") as broker:
        asyncio.run(_measure(broker.bootstrap, Path(folder), say))


async def _measure(bootstrap: str, folder: Path, say: Say) -> None:
    at_capacity, in_flood, statuses = await flood_peaks(folder / "flood", FLOOD)
    say(
        f"gateway, 350 KB a request: at capacity {at_capacity / MIB:.0f} MiB, {FLOOD} at once {in_flood / MIB:.0f} MiB ({statuses})"
    )
    for events in SCORE_EVENTS:
        peak = await score_peak(bootstrap, folder / f"score-{events}", events)
        say(f"score, a detector of 0.2 s a batch of four, {events:,} events of 10 KB waiting: {peak / MIB:.0f} MiB")
    for events in LEDGER_EVENTS:
        peak = await ledger_peak(bootstrap, folder / f"ledger-{events}", events)
        say(f"ledger, {events:,} events and as many verdicts behind: {peak / MIB:.0f} MiB")
    for size in SPOOL_BYTES:
        peak, found = await shipper_peak(bootstrap, folder / f"shipper-{size}", size // _RECORD_BYTES, _RECORD_BYTES)
        say(f"shipper, a spool of {found / MIB:,.0f} MiB: {peak / MIB:.0f} MiB")
