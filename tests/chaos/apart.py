"""Faults that need no lab, each strike in a process of its own: ``python -m chaos.apart torn-tail '{"seed": …}'``.

A process of its own, so that a mutation of our code ends with it. Prints one JSON object: how, bit, figures, violations.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from chaos.mutations import VARIABLE, mutate

__all__ = ["run_apart"]

_TESTS = Path(__file__).parents[1]


def run_apart(name: str, seed: str, mutation: str) -> dict[str, Any]:
    """Run the strike `name` with `seed` in a process of its own, and return what it said."""
    environment = {**os.environ, "PYTHONPATH": f"{_TESTS}:{_TESTS.parent}", VARIABLE: mutation}
    done = subprocess.run(
        [sys.executable, "-m", "chaos.apart", name, seed],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        return {
            "how": name,
            "bit": "it raised",
            "violations": [f"{name} raised: {done.stderr.strip().splitlines()[-1][:300]}"],
        }
    return msgspec.json.decode(done.stdout.splitlines()[-1])


def _main(name: str, seed: str) -> None:
    from chaos.faults import f11_torn_tail, f19_hostile_text  # noqa: PLC0415 - after the mutation

    work = {"torn-tail": f11_torn_tail.strike, "hostile-text": f19_hostile_text.strike}[name]
    print(msgspec.json.encode(work(seed)).decode())


if __name__ == "__main__":
    mutate("suite")
    _main(*sys.argv[1:])
