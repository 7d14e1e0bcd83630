"""The strikes that were ever made, one a line of a file, and the table and JSON that they amount to."""

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from chaos.strike import Fault, Strike

__all__ = ["Kept", "report", "table"]

_COLUMNS = ("fault", "struck", "bit", "violations", "recovery p50 / max s", "seed")


class Kept:
    """The file of strikes; a strike counts once the oracle has looked at its round."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.strikes: list[Strike] = []
        if path.exists():
            lines = path.read_bytes().splitlines(keepends=True)
            self.strikes = [msgspec.json.decode(line, type=Strike) for line in lines if line.endswith(b"\n")]

    def add(self, strikes: Iterable[Strike]) -> None:
        """Append strikes."""
        with self._path.open("ab") as file:
            for strike in strikes:
                self.strikes.append(strike)
                file.write(msgspec.json.encode(strike) + b"\n")

    def of(self, fault: Fault, seed: int) -> list[Strike]:
        """Return the strikes of one fault under one seed."""
        return [strike for strike in self.strikes if (strike.fault, strike.seed) == (fault.key, seed)]


def report(kept: Kept, faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """Return one object a fault: how often it was struck and bit, what was violated, how long everything took to go on."""
    rows = []
    for fault in faults:
        strikes = [strike for strike in kept.strikes if strike.fault == fault.key]
        times = [one.recovery_seconds for one in strikes if one.recovery_seconds is not None]
        rows.append(
            {
                "fault": fault.key,
                "what": fault.what,
                "wanted": fault.wanted,
                "struck": len(strikes),
                "bit": sum(bool(one.bit) for one in strikes),
                "violations": sum(bool(one.violations) for one in strikes),
                "violated": sorted({found for one in strikes for found in one.violations}),
                "recovery_p50_seconds": round(statistics.median(times), 1) if times else None,
                "recovery_max_seconds": max(times, default=None),
                "figures": _figures(strikes),
                "seeds": sorted({one.seed for one in strikes}),
                "mutation": fault.mutation,
            }
        )
    return rows


def _figures(strikes: Sequence[Strike]) -> dict[str, dict[str, float]]:
    values: dict[str, list[float]] = {}
    for strike in strikes:
        for name, value in strike.figures.items():
            values.setdefault(name, []).append(value)
    return {
        name: {"min": min(found), "p50": statistics.median(found), "max": max(found)} for name, found in values.items()
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table; a fault that was not struck says so."""
    lines = [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
    for row in rows:
        count = f"{row['violations']} of {row['struck']}" if row["struck"] else "not run"
        seconds = (
            ""
            if row["recovery_p50_seconds"] is None
            else f"{row['recovery_p50_seconds']} / {row['recovery_max_seconds']}"
        )
        seeds = ", ".join(map(str, row["seeds"]))
        cells = (f"{row['fault']} {row['what']}", row["struck"], row["bit"], count, seconds, seeds)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)
