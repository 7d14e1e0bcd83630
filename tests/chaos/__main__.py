"""Inject faults repeatedly: ``make chaos CHAOS="--faults F1,F4 --kills N --seed 7 --minutes 30 --state FILE"``.

A strike that the oracle has looked at is kept in the state file; a later call goes on to the number that is wanted. With
``--mutations`` each fault is struck on a product that is wrong in its own way, and must find that.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

import msgspec

from chaos.campaign import Campaign
from chaos.faults import FAULTS, chosen
from chaos.mutations import MUTATIONS
from chaos.report import Kept, report, table
from chaos.strike import Fault, Strike

_TIRED = 1.5
_MUTATION_ROUNDS = 3
_MUTATION_SETTLE_SECONDS = 30.0


def say(line: str) -> None:
    print(line, flush=True)


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos CHAOS=…", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--faults", default="", help=f"some of {', '.join(FAULTS)}, or F1 for all of its kinds; all")
    parser.add_argument("--kills", type=int, default=0, help="strikes wanted of each; what each fault owes")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the soak (F17)")
    parser.add_argument("--limit", type=float, default=0.0, help="begin no round after so many minutes; 0 has no limit")
    parser.add_argument("--state", type=Path, default=Path(".chaos/strikes.jsonl"))
    parser.add_argument("--report", type=Path, default=Path(".chaos/report.json"))
    parser.add_argument("--mutations", action="store_true", help="demand that each fault finds its mutation")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    """Run what the command line says; 1 where something is violated, or a mutation was not found."""
    args = _arguments(given)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    faults = chosen(args.faults)
    for fault in faults:
        if fault.key == "F17":
            fault.minutes = args.minutes  # type: ignore[attr-defined]  # the soak's own
    if args.mutations:
        return _mutations(faults, args.seed)
    kept = Kept(args.state)
    deadline = time.monotonic() + args.limit * 60 if args.limit else float("inf")
    for group in _groups(faults):
        _play(group, kept, args, deadline)
    rows = report(kept, list(FAULTS.values()))
    args.report.parent.mkdir(parents=True, exist_ok=True)
    args.report.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1))
    say(table([row for row in rows if row["fault"] in {fault.key for fault in faults}]))
    return 1 if any(row["violations"] for row in rows) else 0


def _groups(faults: list[Fault]) -> list[list[Fault]]:
    """Kills of processes go together, which takes a quarter of the time; everything else alone."""
    together = [fault for fault in faults if fault.together]
    return ([together] if together else []) + [[fault] for fault in faults if not fault.together]


def _play(group: list[Fault], kept: Kept, args: argparse.Namespace, deadline: float) -> None:
    while time.monotonic() < deadline:
        left = {
            fault.key: _wanted(fault, args) - sum(bool(s.bit) for s in kept.of(fault, args.seed)) for fault in group
        }
        now = [fault for fault in group if left[fault.key] > 0 and not _hopeless(fault, kept, args)]
        if not now:
            return
        with Campaign(now, args.seed, say=say) as campaign:
            while time.monotonic() < deadline and [f for f in now if left[f.key] > 0] == now:
                first = {fault.key: len(kept.of(fault, args.seed)) for fault in now}
                strikes = {fault.key: min(fault.round_strikes, left[fault.key]) for fault in now}
                began = time.monotonic()
                played = campaign.round(first, strikes)
                kept.add(played)
                _progress(now, kept, args, (time.monotonic() - began) / max(1, len(played)))
                for strike in played:
                    left[strike.fault] -= bool(strike.bit)


def _wanted(fault: Fault, args: argparse.Namespace) -> int:
    return min(args.kills, fault.wanted) if args.kills and fault.wanted == 1 else args.kills or fault.wanted


def _hopeless(fault: Fault, kept: Kept, args: argparse.Namespace) -> bool:
    """Whether it was struck so often without a bite that more strikes are no help; the report shows it."""
    strikes = kept.of(fault, args.seed)
    return len(strikes) > _TIRED * _wanted(fault, args) + 5


def _progress(group: list[Fault], kept: Kept, args: argparse.Namespace, each: float) -> None:
    for fault in group:
        strikes = kept.of(fault, args.seed)
        done, wanted = sum(bool(one.bit) for one in strikes), _wanted(fault, args)
        wrong = sum(bool(one.violations) for one in strikes)
        minutes = max(0, wanted - done) * each * len(group) / 60
        say(f"{fault.key}: {done} of {wanted}, violations {wrong} of {len(strikes)}, about {minutes:.0f} min left")


def _mutations(faults: list[Fault], seed: int) -> int:
    missed = []
    for fault in faults:
        say(f"{fault.key} with {fault.mutation}: {MUTATIONS[fault.mutation].what}")
        found = _found(fault, seed)
        say(f"{fault.key}: {'found: ' + found if found else 'NOT FOUND'}")
        if not found:
            missed.append(fault.key)
    say(f"{len(faults) - len(missed)} of {len(faults)} mutations found{': not ' + ', '.join(missed) if missed else ''}")
    return 1 if missed else 0


def _found(fault: Fault, seed: int) -> str:
    """Return the first violation within some rounds, "" where there is none."""
    with Campaign([fault], seed, mutation=fault.mutation, settle_seconds=_MUTATION_SETTLE_SECONDS, say=say) as campaign:
        for number in range(_MUTATION_ROUNDS):
            count = min(fault.round_strikes, 5)
            played: list[Strike] = campaign.round({fault.key: number * count}, {fault.key: count})
            for strike in played:
                for violation in strike.violations:
                    if violation.startswith(fault.breaks):
                        return violation
    return ""


if __name__ == "__main__":
    sys.exit(main())
