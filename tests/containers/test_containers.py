"""Checks that need a Docker engine: users, file systems, limits, networks, volumes and restarts (`make test-containers`)."""

import json

import httpx
import pytest
from support.stack import until

pytestmark = pytest.mark.timeout(7200)
ONE_SHOT = {"topics", "acls"}


@pytest.fixture(scope="module")
def ask(stack):
    headers = {"authorization": f"Bearer {stack.run('serving', 'cat', '/var/lib/weir/api-key').strip()}"}
    base = f"{stack.url('GATEWAY_PORT')}/v1"
    model = httpx.get(f"{base}/models", headers=headers, timeout=30).json()["data"][0]["id"]

    def send(text):
        body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 8}
        done = httpx.post(f"{base}/chat/completions", headers=headers, json=body, timeout=120)
        assert done.status_code == 200, done.text
        return done.headers["x-request-id"]

    return send


def shown(stack, request):
    """Return the output of `weir show` for a request, or None while the ledger does not have the request."""
    printed = stack.compose("exec", "-T", "ledger", "weir", "show", request, "--json", check=False)
    return json.loads(printed) if printed.startswith("{") else None


def test_every_service_runs_as_an_unprivileged_user_on_a_read_only_file_system(stack):
    for name, found in stack.containers().items():
        host = found["HostConfig"]
        assert int(found["Config"]["User"].split(":")[0]) > 0, name
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["Memory"], name
        state = found["State"]
        assert (state["Status"], state["ExitCode"]) == (("exited", 0) if name in ONE_SHOT else ("running", 0)), name
        assert not state["OOMKilled"], name
        assert found["RestartCount"] == 0, name


def test_a_request_is_scored_and_its_alert_reaches_alertmanager(stack, ask):
    request = ask("My name is Anna Larsen, my card is 4111 1111 1111 1111 and my e-mail is anna.larsen@example.org.")

    def verdicts():
        found = shown(stack, request)
        return found and [verdict for verdict in found["verdicts"] if verdict["detector"] == "pii"]

    assert any(verdict["flagged"] for verdict in until("the verdicts of pii", verdicts, 180))
    url = f"{stack.url('ALERTMANAGER_PORT')}/api/v2/alerts"
    alerts = until("the alert", lambda: httpx.get(url, timeout=10).json(), 180)
    assert any(alert["labels"].get("detector") == "pii" for alert in alerts)


def test_prometheus_reaches_every_target(stack):
    def down():
        targets = httpx.get(f"{stack.url('PROMETHEUS_PORT')}/api/v1/targets", timeout=10).json()["data"][
            "activeTargets"
        ]
        return targets and all(target["health"] == "up" for target in targets)

    until("every target up", down, 120)


def test_serving_cannot_reach_kafka(stack):
    asked = "import socket\ntry: socket.getaddrinfo('kafka', 9093)\nexcept socket.gaierror: print('unknown')"
    assert stack.run("serving", "python", "-c", asked).strip() == "unknown"


def test_requests_during_an_outage_of_kafka_are_in_the_ledger_afterwards(stack, ask):
    stack.compose("stop", "kafka")
    request = ask("What is the capital of France?")
    stack.compose("start", "kafka")
    until("the request in the ledger", lambda: shown(stack, request), 240)


def test_a_killed_serving_container_restarts_with_its_volume(stack, ask):
    before = ask("Name a colour.")
    stack.compose("kill", "serving")
    stack.compose("up", "--detach", "--wait", "--no-build", "serving", seconds=600)
    after = ask("Name another colour.")
    for request in (before, after):
        until("the request in the ledger", lambda request=request: shown(stack, request), 240)
