"""A version in a real MLflow server: registered once, with digests, metrics and an alias."""

import json
import os
import sys

import httpx
import pytest
from support.mlflow_server import running_mlflow
from support.tiny_gguf import save_tiny_gguf
from support.tiny_training import ForkedRun, save_dataset, tiny_job

from stream.loop.training.manifest import read_version
from stream.loop.training.process import run_command


@pytest.fixture
def client(tmp_path, monkeypatch):
    with running_mlflow(tmp_path) as address, httpx.Client(base_url=f"{address}/api/2.0/mlflow", timeout=120) as client:
        monkeypatch.setitem(os.environ, "MLFLOW_TRACKING_URI", address)
        yield client


async def test_a_version_is_mirrored_once(tmp_path, client):
    base = save_tiny_gguf(tmp_path)
    job = tiny_job(base, save_dataset(tmp_path / "data", 8), epochs=1, retraining_id="rt_1")
    version = ForkedRun(tmp_path, "run", job).trained(200).version
    command = [sys.executable, "-m", "stream.loop.training.mlflow_mirror", str(tmp_path), version]
    experiment = client.post("/experiments/create", json={"name": "weir-training"}).json()["experiment_id"]
    # The run that a mirror leaves if it is killed after its first request.
    begun = {"experiment_id": experiment, "tags": [{"key": "weir.version", "value": version}]}
    client.post("/runs/create", json=begun).raise_for_status()
    first = await run_command(command, 120.0)
    assert await run_command(command, 120.0) == first == {"name": "acme.tiny", "version": "1"}

    found = client.get("/registered-models/alias", params={"name": "acme.tiny", "alias": "challenger"}).json()
    tags = {tag["key"]: tag["value"] for tag in found["model_version"]["tags"]}
    manifest = read_version(tmp_path, version)
    assert tags["weir.version"] == version
    assert tags["weir.adapter_sha256"] == manifest.adapter_digest
    assert tags["weir.retraining_id"] == "rt_1"
    run = client.get("/runs/get", params={"run_id": found["model_version"]["run_id"]}).json()["run"]
    assert {metric["key"]: metric["value"] for metric in run["data"]["metrics"]} == manifest.numbers
    assert "question 1" not in str(run)  # a prompt
    assert run["info"]["status"] == "FINISHED"
    runs = client.post("/runs/search", json={"experiment_ids": [experiment]}).json()["runs"]
    assert [one["info"]["run_id"] for one in runs] == [run["info"]["run_id"]]

    def champion():
        query = {"name": "acme.tiny", "alias": "champion"}
        answer = client.get("/registered-models/alias", params=query)
        return answer.json()["model_version"]["version"] if answer.status_code == 200 else None

    moves = [sys.executable, "-m", "stream.loop.training.mlflow_champions"]
    assert await run_command([*moves, json.dumps([["acme", "tiny", version]])], 120.0) == [version]
    assert champion() == "1"
    back = [["acme", "tiny", "base"], ["acme", "another", "base"]]
    assert await run_command([*moves, json.dumps(back)], 120.0) == []
    assert champion() is None
    assert str(tmp_path) not in str(run["data"])
