"""Worlds drawn from seeds keep every promise; with one promise of our code broken, some world shows it.

``WEIR_PROTOCOL_WORLDS`` sets how many are lived here; ``make protocol`` lives thousands.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.protocol.mutations import FAVOURED, MUTATIONS
from support.protocol.run import live
from support.protocol.steps import STEPS

WORLDS = int(os.environ.get("WEIR_PROTOCOL_WORLDS", "100"))
PIECES = 20
#: A mutation is seen in the first few worlds; of the rare ones, in the first few after a place where one is known.
ATTEMPTS = 40
FIRST = {"stale states recovered": 55, "unlink before cursor": 15}
#: One world in a thousand shows it; test_late_events.py does at once.
RARE = {"watermark forgotten"}


@pytest.mark.parametrize("piece", range(PIECES))
def test_every_world_keeps_every_promise(piece):
    lives = [live(seed) for seed in range(piece, WORLDS, PIECES)]
    assert {life.seed: life.violations for life in lives if life.violations} == {}
    assert all(life.requests for life in lives if life.steps.count("request") > 3)


def test_everything_that_may_happen_happens():
    lives = [live(f"all {number}", steps=20, favoured={name: 10}) for number, name in enumerate(STEPS)]
    assert {name for life in lives for name in life.steps} == set(STEPS)
    assert {life.seed: life.violations for life in lives if life.violations} == {}


@pytest.mark.parametrize("mutation", sorted(MUTATIONS.keys() - RARE))
def test_a_broken_promise_is_seen(mutation):
    first = FIRST.get(mutation, 0)
    with MUTATIONS[mutation]:
        for seed in range(first, first + ATTEMPTS):
            life = live(f"m{seed}", favoured=FAVOURED.get(mutation))
            if life.violations:
                return
    pytest.fail(f"{ATTEMPTS} worlds without a violation: the model does not see it")


def test_a_seed_lives_again_in_another_process():
    script = (
        "from support.protocol.run import live; life = live('again'); print(life.records, life.seconds, life.steps)"
    )
    root = Path(__file__).parents[3]
    environment = {"PYTHONPATH": f"{root}:{root / 'tests'}", "PATH": os.environ["PATH"]}
    said = [
        subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, check=True, text=True
        ).stdout
        for _ in range(2)
    ]
    life = live("again")
    assert said == [f"{life.records} {life.seconds} {life.steps}\n"] * 2
