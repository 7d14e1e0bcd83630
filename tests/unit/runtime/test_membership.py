import logging
import resource

from stream.runtime.membership import Membership


def test_a_member_is_remembered_over_a_restart_and_the_newest_counts(tmp_path):
    first = Membership(tmp_path / "worker", "weir.score")
    first.keep("member-1-with-a-long-name")
    first.keep("")
    first.keep("member-2")
    first.close()
    second = Membership(tmp_path / "worker", "weir.score")
    assert second._member == "member-2"
    second.close()


def test_a_full_disk_ends_no_worker(tmp_path, caplog):
    worker = Membership(tmp_path, "weir.score")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # the kernel refuses writes, as on a full disk
    try:
        worker.keep("member-1")
        worker.keep("member-1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    worker.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_living_workers_directory_is_not_taken(tmp_path, caplog):
    living = Membership(tmp_path, "weir.score")
    living.keep("alive")
    with caplog.at_level(logging.WARNING):
        intruder = Membership(tmp_path, "weir.score")
    assert str(tmp_path) in caplog.text
    intruder.keep("intruder")
    await intruder.remove_predecessor({"bootstrap_servers": "127.0.0.1:1"})  # asks no broker: it knows no member
    intruder.close()
    living.close()
    assert (tmp_path / "member").read_text() == "alive"


async def test_a_broker_that_is_away_does_not_hold_up_a_start(tmp_path, caplog):
    before = Membership(tmp_path, "weir.score")
    before.keep("dead")
    before.close()
    after = Membership(tmp_path, "weir.score")
    await after.remove_predecessor({"bootstrap_servers": "127.0.0.1:1"})
    assert "dead may still be a member of weir.score" in caplog.text
    after.close()
