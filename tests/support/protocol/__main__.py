"""Run many worlds and print the violated invariants: ``make protocol PROTOCOL="--seeds 5000"``. A seed repeats its world."""

import argparse
import sys
import time

from support.protocol.checks import INVARIANTS
from support.protocol.run import live

_SAY_EVERY = 100


def main():
    """Return 0 if no invariant was violated."""
    options, lives, began = _options(), [], time.monotonic()
    for number in range(options.first, options.first + options.seeds):
        life = live(number, options.steps)
        lives.append(life)
        for invariant, what in life.violations.items():
            print(f"seed {number}: {invariant}: {what[:500]}", flush=True)
        if len(lives) % _SAY_EVERY == 0:
            failed = sum(bool(one.violations) for one in lives)
            seconds = time.monotonic() - began
            print(f"{len(lives)} of {options.seeds} worlds, {failed} failed, {seconds:.0f} s", flush=True)
    for name in INVARIANTS:
        seeds = [life.seed for life in lives if name in life.violations]
        print(f"{name}: {len(seeds)} of {len(lives)}{f', seeds {seeds[:10]}' if seeds else ''}")
    print(
        f"{len(lives)} worlds, {sum(len(life.steps) for life in lives)} steps, "
        f"{sum(life.requests for life in lives)} requests, {sum(life.records for life in lives)} records, "
        f"{sum(life.seconds for life in lives):.0f} s of virtual time in {time.monotonic() - began:.0f} s"
    )
    return int(any(life.violations for life in lives))


def _options():
    parser = argparse.ArgumentParser(prog="make protocol PROTOCOL=…", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5000, help="how many worlds to run")
    parser.add_argument("--first", type=int, default=0, help="the first seed; with --seeds 1, the world to repeat")
    parser.add_argument("--steps", type=int, default=40, help="steps of one world")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
