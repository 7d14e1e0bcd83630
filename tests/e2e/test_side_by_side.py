"""Two stacks with two homes on one machine; each stops only its own processes."""

import subprocess

import httpx
import pytest
from support.stack import WEIR, running, until

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(900)]
#: Without the models of the engine and of most detectors, the second stack starts fast.
SMALL = {
    "WEIR_KAFKA__BROKER": "embedded",
    "WEIR_MODEL__NAME": "echo",
    "WEIR_MLFLOW__ENABLED": "false",
    "WEIR_DETECTORS__INPUT": '["pii"]',
    "WEIR_DETECTORS__OUTPUT": '["pii"]',
}


def test_two_homes_run_side_by_side(stack):
    before = {item["name"]: item["pid"] for item in stack.status()["components"]}
    with running(**SMALL) as other:
        body = {"model": "echo", "messages": [{"role": "user", "content": "one two"}]}
        headers = {"Authorization": f"Bearer {other.key}"}
        answer = httpx.post(f"{other.url}/v1/chat/completions", json=body, headers=headers, timeout=60)
        assert answer.status_code == 200
        wrong = httpx.post(f"{stack.url}/v1/chat/completions", json=body, headers=headers, timeout=60)
        assert wrong.status_code == 401
        until("verdicts of the other stack", lambda: other.status()["coverage"]["settled"])
        again = other.weir("up", "--detach")
        assert again.returncode == 0
    assert {item["name"]: item["pid"] for item in stack.status()["components"]} == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{other.url}/healthz", timeout=5)
    assert stack.status()["healthy"]


def test_an_http_port_in_use_is_an_error_that_names_the_setting(stack, tmp_path):
    env = stack.env | {"WEIR_HOME": str(tmp_path / "home")}
    done = subprocess.run([WEIR, "up", "--detach"], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert str(stack.port) in done.stdout + done.stderr
    assert "WEIR_HTTP__PORT" in done.stdout + done.stderr
