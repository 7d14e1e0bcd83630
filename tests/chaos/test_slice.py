"""A short, deterministic slice of the chaos suite: one lab, a few strikes of most faults, and mutations that must be found."""

from collections import Counter

import pytest

from chaos.campaign import Campaign
from chaos.disk import SmallDisk
from chaos.faults import FAULTS
from chaos.mutations import MUTATIONS, mutated
from chaos.options import WorldOptions
from chaos.strike import strike_once

pytestmark = pytest.mark.kafka
SEED, TRIES = 7, 3


def _needs_a_disk_of_its_own(folder):
    try:
        SmallDisk(folder, megabytes=1).unmount()
    except PermissionError:
        pytest.skip(
            "no tmpfs can be mounted here; tests/unit/capture/test_spool_writer.py has the kernel refuse writes"
        )


@pytest.fixture(scope="module")
def lab(apache, tmp_path_factory):
    """One lab for all strikes without a mutation: the spool is on a small disk, and the broker accepts large records."""
    _needs_a_disk_of_its_own(tmp_path_factory.mktemp("disk"))
    options = WorldOptions(seed=SEED, disk_of="spool", disk_mb=64, max_message_bytes=8 * 1024 * 1024)
    with Campaign([FAULTS["F1.score"]], SEED, options=options) as campaign:
        yield campaign


ROUNDS = (
    {"F1.score": 2, "F1.watch": 2, "F2": 2, "F3": 3},
    {"F4": 1},
    {"F7": 1},
    {"F8": 1, "F9": 1},
    {"F10.shed": 1},
)


@pytest.mark.parametrize("strikes", ROUNDS, ids="+".join)
def test_every_invariant_holds(lab, strikes):
    """A strike without an effect does not count, as in the long suite; the strike with the next number replaces it."""
    struck, left = Counter(), Counter(strikes)
    for _ in range(TRIES):
        lab.faults = [FAULTS[key] for key in left]
        played = lab.round(struck, left)
        assert [strike.violations for strike in played if strike.violations] == []
        assert len(played) == left.total()
        struck.update(strike.fault for strike in played)
        left -= Counter(strike.fault for strike in played if strike.effect)
        if not left:
            break
    assert not left, f"no effect in {TRIES} rounds: {dict(left)}"


@pytest.mark.parametrize("key", ["F11", "F19"])
def test_every_invariant_holds_without_a_lab(key):
    strike = strike_once(FAULTS[key], None, 0, SEED)
    assert strike.violations == []
    assert strike.effect


def test_mutations_are_found(apache):
    """Three mutations at once, of three processes; each breaks an invariant that the other two do not break."""
    faults = [FAULTS[key] for key in ("F1.score", "F2", "F9")]
    wrong = ",".join(fault.mutation for fault in faults)
    options = WorldOptions(max_message_bytes=8 * 1024 * 1024)
    with Campaign(faults, SEED, mutation=wrong, options=options, settle_seconds=10) as campaign:
        played = campaign.round({}, {fault.key: 1 for fault in faults})
    found = [one for strike in played for one in strike.violations]
    assert [fault.key for fault in faults if not any(one.startswith(fault.breaks) for one in found)] == [], found


@pytest.mark.parametrize("key", ["F11", "F19"])
def test_a_mutation_is_found_without_a_lab(key):
    fault = FAULTS[key]
    with mutated(fault.mutation):
        violations = strike_once(fault, None, 0, SEED).violations
    assert any(one.startswith(fault.breaks) for one in violations), violations


def test_each_fault_has_a_mutation_and_an_invariant_that_it_breaks():
    assert {fault.mutation for fault in FAULTS.values()} == MUTATIONS.keys()
    assert all(fault.breaks for fault in FAULTS.values())
    for name in MUTATIONS:
        with mutated(name):  # fails if the product no longer has the target
            pass
