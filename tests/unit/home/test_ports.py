import json
import os
import resource
import socket
import tempfile
from pathlib import Path

import pytest

from weir.errors import StackError
from weir.home.port_blocks import BLOCK_WIDTH, FIRST_PORT, claim_block
from weir.home.ports import choose_ports, ensure_ports, load_ports, ports_path


@pytest.fixture(autouse=True)
def registry(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("claims")))


def test_ports_are_kept(tmp_path):
    first, moved = ensure_ports(tmp_path, ["broker", "ray_workers_base"])
    assert moved == []
    assert load_ports(tmp_path) == first
    assert ensure_ports(tmp_path, ["broker", "ray_workers_base"]) == (first, [])
    grown, _ = ensure_ports(tmp_path, ["broker", "ray_workers_base", "score"])
    assert grown.items() > first.items()


def test_a_port_that_another_process_uses_is_replaced_and_named(tmp_path):
    first, _ = ensure_ports(tmp_path, ["broker", "score"])
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", first["score"]))
        thief.listen()
        second, moved = ensure_ports(tmp_path, ["broker", "score"])
    assert moved == ["score"]
    assert second["broker"] == first["broker"]
    assert second["score"] != first["score"]


def test_ranges_of_ports_do_not_overlap_other_ports(tmp_path):
    block = claim_block(tmp_path, 0)
    ports = choose_ports(["p0", "a_base", "b_base", *(f"p{number}" for number in range(1, 20))], block)
    taken = [port for name, first in ports.items() for port in range(first, first + (64 if "_base" in name else 1))]
    assert len(taken) == len(set(taken)) == 148
    assert set(taken) <= set(block)


@pytest.mark.parametrize("port", ["70000", "-1", "0", "1e400"])
def test_a_number_that_is_no_port_is_an_error_with_a_remedy(port, tmp_path):
    ports_path(tmp_path).write_text(f'{{"broker": {port}}}')
    with pytest.raises(StackError, match=r"ports\.json is damaged \(.*\); run `weir down`, delete the file"):
        ensure_ports(tmp_path, ["broker"])


def test_errors_name_the_home_and_the_remedy(tmp_path):
    with pytest.raises(StackError, match=rf"no stack was started in {tmp_path}.*weir up"):
        load_ports(tmp_path)
    ports_path(tmp_path).write_text("[1]")
    with pytest.raises(StackError, match=str(ports_path(tmp_path))):
        load_ports(tmp_path)
    ports_path(tmp_path).write_text(json.dumps({"broker": "x"}))
    with pytest.raises(StackError, match="damaged"):
        load_ports(tmp_path)


def test_two_homes_have_no_port_in_common_even_if_both_are_down(tmp_path):
    names = ["broker", "ray_ingress_base", "ray_workers_base"]
    blocks = []
    for number in range(4):
        home = tmp_path / str(number)
        home.mkdir()
        ports, _ = ensure_ports(home, names)
        blocks.append(claim_block(home, 0))
        assert set(ports.values()) <= set(blocks[-1])
    assert len({block.start for block in blocks}) == 4
    assert {len(block) for block in blocks} == {BLOCK_WIDTH}


def test_the_block_of_a_deleted_home_is_free_again(tmp_path):
    home = tmp_path / "gone"
    home.mkdir()
    block = claim_block(home, 7)
    assert claim_block(home, 9) == block
    home.rmdir()
    other = tmp_path / "other"
    other.mkdir()
    number = (block.start - FIRST_PORT) // BLOCK_WIDTH
    assert claim_block(other, number) == block


def test_a_claim_that_cannot_be_written_leaves_the_block_free(tmp_path):
    home, other = tmp_path / "home", tmp_path / "other"
    for one in (home, other):
        one.mkdir()
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most[1]))  # as a full disk: files can be created, and not written
    try:
        with pytest.raises(OSError, match="File too large"):
            claim_block(home, 7)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert claim_block(other, 7).start == FIRST_PORT + 7 * BLOCK_WIDTH


def test_no_port_is_claimed_behind_a_link_that_another_user_could_have_made(tmp_path):
    folder, mine = Path(tempfile.gettempdir(), f"weir-ports-{os.getuid()}"), tmp_path / "notes"
    mine.write_text("mine")
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "7").symlink_to(mine)
    folder.symlink_to(planted)
    with pytest.raises(StackError, match="delete it, or set TMPDIR"):
        claim_block(tmp_path, 7)
    assert mine.read_text() == "mine"
