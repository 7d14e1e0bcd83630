"""The status of a stack whose Kafka does not answer, or whose disk is full."""

import shutil

from weir.operate.status import gather_status
from weir.settings import load_settings


async def test_without_kafka_and_heartbeat_the_lag_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    (tmp_path / "ports.json").write_text("{}")
    status = await gather_status(load_settings().settings)
    assert (status.healthy, status.lag) == (False, {})
    (problem,) = [one for one in status.problems if "lag is unknown" in one]
    assert problem.startswith("Kafka at 127.0.0.1:1 does not answer")
    assert "the lag below is that" not in problem


async def test_a_full_disk_is_a_problem_with_the_free_space(tmp_path, monkeypatch):
    """The log of a component that exits because of the full disk can end before the error."""
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    (tmp_path / "ports.json").write_text("{}")
    settings = load_settings().settings
    usage = shutil.disk_usage(tmp_path)
    for free, expected in (
        (64 << 20, []),
        (3 << 20, [f"disk: 3 MiB are free on the disk of {tmp_path}, the bound is 64 MiB"]),
    ):
        monkeypatch.setattr(shutil, "disk_usage", lambda _path, free=free: usage._replace(free=free))
        status = await gather_status(settings)
        assert [one.partition(";")[0] for one in status.problems if one.startswith("disk: ")] == expected
