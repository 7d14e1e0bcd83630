"""From another gateway's log to verdicts: intake, the shipper and score on a real broker, and the records of each topic."""

import json
import signal
import socket
import subprocess

import httpx
import jsonschema
import pytest
from support.component_process import component_process
from support.gateway import KEY
from support.intake import intake_component, kserve_headers, litellm_failure, litellm_payload
from support.score_stack import ScoreLab
from support.stage_lab import P, Q
from support.weir_component import weir_component

from serving.capture.balance import read_balance
from stream.contract import event_schema
from stream.contract.attributes import EVENT_HEADERS
from stream.settings import DetectorSettings, ScoreSettings
from stream.stages.score_app import model_spec

pytestmark = pytest.mark.kafka

ASKED = {"model": "qwen-2", "messages": [{"role": "user", "content": "Call me at 212-555-0143"}]}
ANSWERED = {"choices": [{"message": {"content": "I will."}, "finish_reason": "stop"}]}


DETECTORS = {"WEIR_DETECTORS__INPUT": '["pii"]', "WEIR_DETECTORS__OUTPUT": '["pii"]'}


def _send(url, path, **options):
    return httpx.post(url + path, headers={"authorization": f"Bearer {KEY}"} | options.pop("headers", {}), **options)


def _fits(record):
    headers = {name: value.decode() for name, value in record.headers if name != "traceparent"}
    jsonschema.validate(headers, EVENT_HEADERS, cls=jsonschema.Draft202012Validator)
    schema = event_schema(headers["ce_type"])
    jsonschema.validate(json.loads(record.value), schema, cls=jsonschema.Draft202012Validator)
    return headers["ce_type"]


async def test_exchanges_of_other_gateways_have_verdicts_and_a_kill_loses_none(apache_broker, tmp_path):
    lab = await ScoreLab(apache_broker.bootstrap, tmp_path).create()
    home = tmp_path / "home"
    with intake_component(home, DETECTORS) as (process, url, _):
        assert _send(url, "/intake/litellm", json=[litellm_payload(), litellm_failure()]).status_code == 200
        assert _send(url, "/intake/kserve", json=ASKED, headers=kserve_headers("request")).status_code == 200
        process.kill()  # intake has stored the request half of a pair; the LiteLLM logs are in the spool
        process.wait()
    with intake_component(home, DETECTORS) as (process, url, _):
        assert _send(url, "/intake/litellm", json=[litellm_payload()]).json()["repeated"] == 1
        assert _send(url, "/intake/kserve", json=ANSWERED, headers=kserve_headers("response")).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0

    pii = DetectorSettings(input=("pii",), output=("pii",), options={"pii": {"entities": False}})
    spec = model_spec(pii, ScoreSettings())
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
    kinds = ("tick", "closed", "verdict", "signal", "finding")
    assert seen >= {"weir.inference.request.v2", "weir.inference.response.v2", *(f"weir.{kind}.v1" for kind in kinds)}


def test_an_error_names_a_port_in_use_and_its_setting(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with weir_component("intake", tmp_path, {"WEIR_INTAKE__PORT": str(port)}, stderr=subprocess.PIPE) as (
            process,
            _,
        ):
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors.decode()
    assert f"intake cannot listen on 127.0.0.1:{port}" in errors.decode()
    assert "set intake.host and intake.port" in errors.decode()
