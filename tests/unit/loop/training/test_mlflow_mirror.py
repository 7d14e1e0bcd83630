"""What MLflow, which needs no login, receives of a version."""

from types import SimpleNamespace

import msgspec
from mlflow.utils.validation import _validate_model_name

from stream.loop.training import mlflow_mirror
from stream.loop.training.job import RayCluster, TrainingJob, VersionFolder
from stream.loop.training.manifest import VersionManifest


class Client:
    """Keeps the parameters of runs; every other request succeeds."""

    def __init__(self):
        self.params = {}

    def search_model_versions(self, _query):
        return []

    def get_experiment_by_name(self, _name):
        return SimpleNamespace(experiment_id="1")

    def search_runs(self, _experiments, _query, **_):
        return [SimpleNamespace(info=SimpleNamespace(run_id="r", artifact_uri="a"))]

    def create_model_version(self, _name, **_):
        return SimpleNamespace(version=1)

    def log_param(self, _run, name, value):
        self.params[name] = value

    def __getattr__(self, _name):
        return lambda *_, **__: None


def test_the_credentials_and_folders_of_the_storage_are_no_parameters(tmp_path, monkeypatch):
    storage = "s3://key:secret@bucket/weir?region=eu-central-1"
    cluster = RayCluster(address="10.0.0.1:6379", workers=2, storage=storage)
    job = TrainingJob(
        tenant="acme", model="m", base="/b", base_digest="b", dataset="/d", dataset_digest="d", ray=cluster
    )
    manifest = VersionManifest(
        version="m_1", job=job, adapter_digest="a", weights_digest="", numbers={}, libraries={}, files={}
    )
    folder = VersionFolder.of(tmp_path, "m_1")
    folder.path.mkdir(parents=True)
    folder.card.write_text("card")
    folder.manifest.write_bytes(msgspec.json.encode(manifest))
    client = Client()
    monkeypatch.setattr(mlflow_mirror, "MlflowClient", lambda: client)
    assert mlflow_mirror.mirror(tmp_path, "m_1") == {"name": "acme.m", "version": "1"}
    assert client.params["ray"] == {"address": "10.0.0.1:6379", "workers": 2, "use_gpu": False}
    assert "secret" not in str(client.params)


def test_two_pairs_of_tenant_and_model_have_two_names():
    """With one name, the alias champion of a tenant would name the version of the other."""
    pairs = [("a.b", "c"), ("a", "b.c"), ("a.b.c", "d"), ("a.b", "c.d"), ("a", "b.c.d")]
    names = {mlflow_mirror.registered_name(*pair) for pair in pairs}
    assert len(names) == len(pairs)
    for name in names:
        _validate_model_name(name)
    assert mlflow_mirror.registered_name("acme-1", "org/llama-3.1") == "acme-1.org_llama-3.1"
