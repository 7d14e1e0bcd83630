"""The status of a stack whose Kafka does not answer."""

from weir.operate.status import gather_status
from weir.settings import load_settings


async def test_without_kafka_and_heartbeat_no_lag_is_promised(tmp_path, monkeypatch):
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    (tmp_path / "ports.json").write_text("{}")
    status = await gather_status(load_settings().settings)
    assert (status.healthy, status.lag) == (False, {})
    (problem,) = [one for one in status.problems if "lag is unknown" in one]
    assert problem.startswith("Kafka at 127.0.0.1:1 does not answer")
    assert "the lag below is that" not in problem
