"""Inject faults repeatedly: ``make chaos CHAOS="--faults F1,F4 --kills N --seed 7 --minutes 30 --state FILE"``.

A strike (one injection) is written to the state file after the oracle has checked it; a later call continues to the wanted number.
With ``--mutations``, each fault is injected into a product with a defect for this fault, and must find the defect.
"""

import argparse
import signal
import statistics
import sys
import time
from pathlib import Path

import msgspec

from chaos.campaign import Campaign, say
from chaos.faults import FAULTS, chosen
from chaos.strike import Strike

_TIRED = 1.5
_MUTATION_ROUNDS = 3
_MUTATION_SETTLE_SECONDS = 30.0


def _arguments(given):
    parser = argparse.ArgumentParser(prog="make chaos CHAOS=…", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument(
        "--faults", default="", help=f"some of {', '.join(FAULTS)}, or F1 for all its kinds; default: all"
    )
    parser.add_argument("--kills", type=int, default=0, help="strikes of each fault; default: the fault's own number")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the soak (F17)")
    parser.add_argument("--limit", type=float, default=0.0, help="begin no round after these minutes; 0: no limit")
    parser.add_argument("--state", type=Path, default=Path(".chaos/strikes.jsonl"))
    parser.add_argument("--mutations", action="store_true", help="require each fault to find its mutation")
    return parser.parse_args(given)


class Suite:
    """The strikes of all calls, one per line of the state file, and the strikes that are still wanted."""

    def __init__(self, args) -> None:
        self._args = args
        self._path = args.state
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.strikes = []
        if self._path.exists():
            lines = self._path.read_bytes().splitlines(keepends=True)
            self.strikes = [msgspec.json.decode(line, type=Strike) for line in lines if line.endswith(b"\n")]

    def add(self, strikes):
        """Append strikes."""
        self.strikes += strikes
        with self._path.open("ab") as file:
            file.writelines(msgspec.json.encode(strike) + b"\n" for strike in strikes)

    def of(self, fault):
        """Return the strikes of one fault under this seed."""
        return [strike for strike in self.strikes if (strike.fault, strike.seed) == (fault.key, self._args.seed)]

    def left(self, fault):
        """Return the number of strikes that are still wanted; 0 if too many strikes had no effect."""
        wanted = self._args.kills or fault.wanted
        wanted = min(wanted, fault.wanted) if fault.wanted == 1 else wanted
        strikes = self.of(fault)
        effective = sum(bool(strike.effect) for strike in strikes)
        return max(0, wanted - effective) if len(strikes) <= _TIRED * wanted + 5 else 0

    def run(self, group, deadline):
        """Inject the faults of a group until no strike is wanted or the deadline has passed."""
        while time.monotonic() < deadline and (now := [fault for fault in group if self.left(fault)]):
            with Campaign(now, self._args.seed) as campaign:
                while time.monotonic() < deadline and [fault for fault in now if self.left(fault)] == now:
                    first = {fault.key: len(self.of(fault)) for fault in now}
                    self.add(campaign.round(first, {f.key: min(f.round_strikes, self.left(f)) for f in now}))
                    say("; ".join(f"{fault.key}: {self.left(fault)} left" for fault in now))

    def table(self, faults):
        """Return a Markdown table of the strikes."""
        lines = [
            "| Fault | Strikes | Effective | Violations | Recovery p50 / max s | Seed |",
            "|---|---|---|---|---|---|",
        ]
        for fault in faults:
            strikes = [strike for strike in self.strikes if strike.fault == fault.key]
            times = [strike.recovery_seconds for strike in strikes if strike.recovery_seconds is not None]
            violated = sum(bool(strike.failures) for strike in strikes)
            cells = (
                f"{fault.key} {fault.what}",
                len(strikes),
                sum(bool(strike.effect) for strike in strikes),
                f"{violated} of {len(strikes)}" if strikes else "not run",
                f"{statistics.median(times):.1f} / {max(times)}" if times else "",
                ", ".join(str(seed) for seed in sorted({strike.seed for strike in strikes})),
            )
            lines.append(f"| {' | '.join(map(str, cells))} |")
        return "\n".join(lines)


def _mutations(faults, seed):
    """Run each fault with its mutation; return 1 if a fault does not find its mutation, else 0."""
    missed = []
    for fault in faults:
        found = _found(fault, seed)
        say(f"{fault.key} with {fault.mutation}: {f'found: {found}' if found else 'NOT FOUND'}")
        missed += [] if found else [fault.key]
    say(f"{len(faults) - len(missed)} of {len(faults)} mutations found{': not ' + ', '.join(missed) if missed else ''}")
    return 1 if missed else 0


def _found(fault, seed):
    """Run a few rounds; return the first violation that shows the mutation, or ""."""
    count = min(fault.round_strikes, 5)
    with Campaign([fault], seed, mutation=fault.mutation, settle_seconds=_MUTATION_SETTLE_SECONDS) as campaign:
        for number in range(_MUTATION_ROUNDS):
            for strike in campaign.round({fault.key: number * count}, {fault.key: count}):
                for violation in strike.violations:
                    if violation.startswith(fault.breaks):
                        return violation
    return ""


def main(given=None):
    """Run the faults of the command line; return 1 if an invariant was violated or a mutation was not found."""
    args = _arguments(given)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    FAULTS["F17"].minutes = args.minutes
    faults = chosen(args.faults)
    if args.mutations:
        return _mutations(faults, args.seed)
    suite = Suite(args)
    deadline = time.monotonic() + args.limit * 60 if args.limit else float("inf")
    together = [fault for fault in faults if fault.together]  # four faults at once need a quarter of the time
    for group in (together, *([fault] for fault in faults if not fault.together)):
        suite.run(group, deadline)
    say(suite.table(faults))
    return 1 if any(strike.failures for strike in suite.strikes if strike.fault in FAULTS) else 0


if __name__ == "__main__":
    sys.exit(main())
