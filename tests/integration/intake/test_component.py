"""From another gateway's log to verdicts: the component, the shipper and score on a real broker, and what stood on every topic."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import jsonschema
import pytest
from support.component_process import component_process
from support.gateway import KEY, write_keys
from support.intake import kserve_headers, litellm_failure, litellm_payload
from support.score_stack import ScoreLab
from support.stage_lab import P, Q

from serving.capture.balance import read_balance
from stream.contract import event_schema
from stream.contract.attributes import EVENT_HEADERS
from stream.settings import DetectorSettings, ScoreSettings
from stream.stages.score_app import model_spec
from weir.home.port_blocks import claim_block
from weir.home.ports import choose_ports

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]  # score's models load in a spawned process

ASKED = {"model": "qwen-2", "messages": [{"role": "user", "content": "Call me at 212-555-0143"}]}
ANSWERED = {"choices": [{"message": {"content": "I will."}, "finish_reason": "stop"}]}


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def component(home):
    """Run the component as the supervisor starts it; yield its process and its address."""
    home.mkdir(exist_ok=True)
    write_keys(home / "keys.json", ("k_1", "acme", KEY, None))
    ports = {"intake": choose_ports(["intake"], claim_block(home, 11))["intake"]}
    (home / "ports.json").write_text(json.dumps(ports))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
    port = _free_port()
    settings = {
        "WEIR_HOME": str(home),
        "WEIR_MLFLOW__ENABLED": "false",
        "WEIR_INTAKE__PORT": str(port),
        "WEIR_DETECTORS__INPUT": '["pii"]',
        "WEIR_DETECTORS__OUTPUT": '["pii"]',
    }
    process = subprocess.Popen([sys.executable, "-m", "weir.component", "intake"], env=clean | settings, cwd=Path.cwd())
    try:
        _answers(process, f"http://127.0.0.1:{ports['intake']}/healthz")
        _answers(process, f"http://127.0.0.1:{port}/healthz")
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _answers(process, url):
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None
        assert time.monotonic() < deadline, f"{url} does not answer within 60 s"
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)


def _send(url, path, **options):
    return httpx.post(url + path, headers={"authorization": f"Bearer {KEY}"} | options.pop("headers", {}), **options)


def _fits(record):
    headers = {name: value.decode() for name, value in record.headers if name != "traceparent"}
    jsonschema.validate(headers, EVENT_HEADERS, cls=jsonschema.Draft202012Validator)
    schema = event_schema(headers["ce_type"])
    jsonschema.validate(json.loads(record.value), schema, cls=jsonschema.Draft202012Validator)
    return headers["ce_type"]


async def test_what_others_served_gets_its_verdicts_and_nothing_is_lost_over_a_kill(apache_broker, tmp_path):
    lab = await ScoreLab(apache_broker.bootstrap, tmp_path).create()
    home = tmp_path / "home"
    with component(home) as (process, url):
        assert _send(url, "/intake/litellm", json=[litellm_payload(), litellm_failure()]).status_code == 200
        assert _send(url, "/intake/kserve", json=ASKED, headers=kserve_headers("request")).status_code == 200
        process.kill()  # one half is held, the logs are in the spool
        process.wait()
    with component(home) as (process, url):
        assert _send(url, "/intake/litellm", json=[litellm_payload()]).json()["repeated"] == 1
        assert _send(url, "/intake/kserve", json=ANSWERED, headers=kserve_headers("response")).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0

    spec = model_spec(
        DetectorSettings(input=("pii",), output=("pii",), options={"pii": {"entities": False}}), ScoreSettings()
    )
    app = lab.score_app(spec=spec, deadline_seconds=60)
    async with component_process("shipper", home / "spool", lab.kafka), lab.running(app):

        async def scored():
            return len({event.data.event_id for _, event in await lab.verdicts() if hasattr(event.data, "label")}) == 5

        await lab.eventually(scored, 240)
    verdicts = [event.data for _, event in await lab.verdicts() if hasattr(event.data, "label")]
    by_model = {(verdict.model, verdict.side): verdict.label for verdict in verdicts if verdict.flagged}
    assert by_model.keys() == {("gpt-4o-mini", "input"), ("qwen-2", "input")}
    assert {verdict.tenant for verdict in verdicts} == {"acme"}
    balance = read_balance(home / "spool")
    assert (balance.accepted, balance.delivered, balance.spooled, balance.shed) == (6, 6, 0, 0)

    topics = {lab.names.inference: P, lab.names.verdicts: P, lab.names.signals: Q, lab.names.findings: Q}
    seen = {_fits(record) for topic, count in topics.items() for record in await lab.read(topic, count)}
    assert seen >= {
        "weir.inference.request.v1",
        "weir.inference.response.v1",
        "weir.tick.v1",
        "weir.closed.v1",
        "weir.verdict.v1",
        "weir.signal.v1",
        "weir.finding.v1",
    }


def test_a_taken_port_is_named_with_the_setting(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        home = tmp_path / "home"
        home.mkdir()
        (home / "ports.json").write_text(
            json.dumps({"intake": choose_ports(["intake"], claim_block(home, 13))["intake"]})
        )
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
        settings = {"WEIR_HOME": str(home), "WEIR_MLFLOW__ENABLED": "false", "WEIR_INTAKE__PORT": str(port)}
        ended = subprocess.run(
            [sys.executable, "-m", "weir.component", "intake"], env=clean | settings, capture_output=True, check=False
        )
    assert ended.returncode == 2
    assert f"intake cannot listen on 127.0.0.1:{port}" in ended.stderr.decode()
    assert "set intake.host and intake.port" in ended.stderr.decode()
