"""A short, deterministic slice of the chaos suite: one lab, a few strikes of most faults, and mutations that must be found."""

import os
from collections import Counter

import pytest

from chaos.apart import run_apart
from chaos.campaign import Campaign
from chaos.disk import SmallDisk
from chaos.faults import FAULTS
from chaos.mutations import MUTATIONS
from chaos.options import WorldOptions
from weir.local.broker.kafka_jars import apache_available

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
SEED, TRIES = 7, 3


def _needs_apache():
    required = os.environ.get("CI", "").lower() in {"1", "true"} or os.environ.get("WEIR_REQUIRE_APACHE") == "1"
    if not apache_available():
        assert not required, (
            "Apache Kafka needs Maven (Debian package `maven`), and CI or WEIR_REQUIRE_APACHE asks for it"
        )
        pytest.skip("Apache Kafka needs Maven (Debian package `maven`), which is not on PATH")


def _needs_a_disk_of_its_own(folder):
    try:
        SmallDisk(folder, megabytes=1).unmount()
    except PermissionError:
        pytest.skip(
            "this machine lets nobody mount a tmpfs; tests/unit/capture/test_spool_writer.py has the kernel refuse writes"
        )


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One lab for all strikes that find nothing: the spool on a small disk, a broker that takes large records."""
    _needs_apache()
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
    """A strike that hit nothing (all was done at the kill) counts as none, as in the long suite: it is struck again, with the next number."""
    struck, left = Counter(), Counter(strikes)
    for _ in range(TRIES):
        lab.faults = [FAULTS[key] for key in left]
        played = lab.round(struck, left)
        assert [strike.violations for strike in played if strike.violations] == []
        assert len(played) == left.total()
        struck.update(strike.fault for strike in played)
        left -= Counter(strike.fault for strike in played if strike.bit)
        if not left:
            break
    assert not left, f"hit nothing in {TRIES} rounds: {dict(left)}"


@pytest.mark.parametrize("key", ["F11", "F19"])
def test_every_invariant_holds_without_a_lab(key):
    said = run_apart(FAULTS[key].name, f"{SEED}/0", "")
    assert said["violations"] == []
    assert said["bit"]


def test_mutations_are_found():
    """Three at once, of three processes; each breaks what the others leave whole."""
    _needs_apache()
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
    said = run_apart(fault.name, f"{SEED}/0", fault.mutation)
    assert any(one.startswith(fault.breaks) for one in said["violations"]), said


def test_each_fault_has_a_mutation_and_what_it_breaks():
    assert {fault.mutation for fault in FAULTS.values()} == MUTATIONS.keys()
    assert all(fault.breaks for fault in FAULTS.values())
