"""Live many worlds and say what was violated: ``make protocol PROTOCOL="--seeds 5000"``; a seed lives again."""

import argparse
import json
import sys
import time
from pathlib import Path

from support.protocol.run import INVARIANTS, Life, live

_SAY_EVERY = 100


def main() -> int:
    """Return 0 where nothing was violated."""
    options = _options()
    lives, began = [], time.monotonic()
    for number in range(options.first, options.first + options.seeds):
        life = live(number, options.steps)
        lives.append(life)
        for invariant, what in life.violations.items():
            print(f"seed {number}: {invariant}: {what[:500]}", flush=True)
        if len(lives) % _SAY_EVERY == 0:
            failed = sum(bool(one.violations) for one in lives)
            print(
                f"{len(lives)} of {options.seeds} worlds, {failed} failed, {time.monotonic() - began:.0f} s", flush=True
            )
    return _report(lives, time.monotonic() - began, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make protocol PROTOCOL=…", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5000, help="how many worlds to live")
    parser.add_argument("--first", type=int, default=0, help="the first seed; with --seeds 1, the world to live again")
    parser.add_argument("--steps", type=int, default=40, help="steps of one world")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    return parser.parse_args()


def _report(lives: list[Life], seconds: float, options: argparse.Namespace) -> int:
    failed = {name: [life.seed for life in lives if name in life.violations] for name in INVARIANTS}
    figures = {
        "worlds": len(lives),
        "first_seed": options.first,
        "steps": sum(len(life.steps) for life in lives),
        "requests": sum(life.requests for life in lives),
        "records": sum(life.records for life in lives),
        "log_seconds": round(sum(life.seconds for life in lives)),
        "seconds": round(seconds),
        "violated": {name: len(seeds) for name, seeds in failed.items()},
        "failing_seeds": {name: seeds for name, seeds in failed.items() if seeds},
    }
    for name, seeds in failed.items():
        print(f"{name}: {len(seeds)} of {len(lives)}{f', seeds {seeds[:10]}' if seeds else ''}")
    print(
        f"{figures['worlds']} worlds, {figures['steps']} steps, {figures['requests']} requests, {figures['records']} records, "
        f"{figures['log_seconds']} s of log time in {figures['seconds']} s"
    )
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if figures["failing_seeds"] else 0


if __name__ == "__main__":
    sys.exit(main())
