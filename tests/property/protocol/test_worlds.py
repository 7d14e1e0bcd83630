"""Random worlds violate no invariant; with a mutation of the code, at least one world violates an invariant.

``WEIR_PROTOCOL_WORLDS`` sets the number of worlds that run here; ``make protocol`` runs thousands.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.protocol.mutations import FAVOURED, MUTATIONS
from support.protocol.run import live
from support.protocol.steps import STEPS

from stream.stages.watch import stream_limit
from stream.stages.watch.stream_limit import StreamLimit

WORLDS = int(os.environ.get("WEIR_PROTOCOL_WORLDS", "100"))
PIECES = 20
REMOVING = 20
#: A mutation is found in this number of worlds from the first on. FIRST is a seed that finds it, if the seed 0 does not.
ATTEMPTS = 40
FIRST = {
    "nothing aborted": 2,
    "publish after ack": 6,
    "published alerts not corrected": 28,
    "stale states recovered": 91,
    "state before publish": 1,
    "tick too early": 7,
    "unlink before cursor": 47,
}
#: Only one world in a thousand finds this mutation; test_late_events.py finds it in one run.
RARE = {"watermark forgotten"}


@pytest.mark.parametrize("piece", range(PIECES))
def test_no_world_violates_an_invariant(piece):
    lives = [live(seed) for seed in range(piece, WORLDS, PIECES)]
    assert {life.seed: life.violations for life in lives if life.violations} == {}
    assert all(life.requests for life in lives if life.steps.count("request") > 3)


def test_no_world_violates_an_invariant_if_a_tenant_has_more_streams_than_the_limit(monkeypatch):
    removed = []
    remove = StreamLimit.remove
    monkeypatch.setattr(stream_limit, "STREAMS_PER_TENANT", 1)
    monkeypatch.setattr(StreamLimit, "remove", lambda *limit: removed.extend(found := remove(*limit)) or found)
    lives = [live(f"limit {seed}") for seed in range(REMOVING)]
    assert {life.seed: life.violations for life in lives if life.violations} == {}
    assert len(removed) > REMOVING


@pytest.mark.parametrize("seed", ["m16", "m33"])
def test_a_world_in_which_a_paused_watch_worker_changed_the_alerts_of_the_present_owner(seed):
    assert live(seed, favoured={"stop watch": 10, "scale": 6}).violations == {}


def test_every_kind_of_step_is_taken():
    lives = [live(f"all {number}", steps=20, favoured={name: 10}) for number, name in enumerate(STEPS)]
    assert {name for life in lives for name in life.steps} == set(STEPS)
    assert {life.seed: life.violations for life in lives if life.violations} == {}


@pytest.mark.parametrize("mutation", sorted(MUTATIONS.keys() - RARE))
def test_a_mutation_is_found(mutation):
    first = FIRST.get(mutation, 0)
    with MUTATIONS[mutation]:
        for seed in range(first, first + ATTEMPTS):
            life = live(f"m{seed}", favoured=FAVOURED.get(mutation))
            if life.violations:
                return
    pytest.fail(f"{ATTEMPTS} worlds without a violation: the model does not find the mutation")


def test_a_seed_gives_the_same_world_in_another_process():
    script = (
        "from support.protocol.run import live; life = live('again'); print(life.records, life.seconds, life.steps)"
    )
    root = Path(__file__).parents[3]
    environment = {"PYTHONPATH": f"{root}:{root / 'tests'}", "PATH": os.environ["PATH"]}
    said = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, check=True, text=True
    ).stdout
    life = live("again")
    assert said == f"{life.records} {life.seconds} {life.steps}\n"
