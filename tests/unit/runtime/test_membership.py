import logging
import resource

from stream.runtime.membership import Membership


def test_the_newest_member_id_is_read_after_a_restart(tmp_path):
    first = Membership(tmp_path / "worker", "weir.score")
    first.keep("member-1-with-a-long-name")
    first.keep("")
    first.keep("member-2")
    first.close()
    second = Membership(tmp_path / "worker", "weir.score")
    assert second._member == "member-2"
    second.close()


def test_a_full_disk_does_not_end_the_worker(tmp_path, caplog):
    worker = Membership(tmp_path, "weir.score")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # the kernel rejects writes, as on a full disk
    try:
        worker.keep("member-1")
        worker.keep("member-1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    worker.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_the_directory_of_a_running_worker_is_not_used_by_another(tmp_path, caplog):
    living = Membership(tmp_path, "weir.score")
    living.keep("alive")
    with caplog.at_level(logging.WARNING):
        intruder = Membership(tmp_path, "weir.score")
    assert str(tmp_path) in caplog.text
    intruder.keep("intruder")
    await intruder.remove_predecessor(
        {"bootstrap_servers": "127.0.0.1:1"}
    )  # sends no request to a broker, because no earlier member is stored
    intruder.close()
    living.close()
    assert (tmp_path / "member").read_text() == "alive"


async def test_an_unreachable_broker_does_not_delay_the_start(tmp_path, caplog):
    before = Membership(tmp_path, "weir.score")
    before.keep("dead")
    before.close()
    after = Membership(tmp_path, "weir.score")
    await after.remove_predecessor({"bootstrap_servers": "127.0.0.1:1"})
    assert "dead may still be a member of weir.score" in caplog.text
    after.close()
