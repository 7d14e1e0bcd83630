"""The Ray Serve application as a Ray cluster builds it, from the settings of its container."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary

from serving.deployments import _model_dir
from weir.application import build
from weir.local.preflight import ensure_models
from weir.settings import load_settings


def test_ray_builds_the_application_from_the_settings(tmp_path, monkeypatch):
    (tmp_path / "weir.toml").write_text(
        '[model]\nname = "echo"\nmax_replicas = 3\n[detectors]\ninput = ["pii"]\n[trace]\nendpoint = "http://c:4318/v1/traces"\n'
        '[metrics]\nhost = "0.0.0.0"\nserving_port = 9470\n'
    )
    monkeypatch.setenv("WEIR_CONFIG", str(tmp_path / "weir.toml"))
    monkeypatch.setenv("WEIR_HOME", str(tmp_path / "home"))
    application = call_user_app_builder_with_args_if_necessary(build, {})
    (_, args) = application._bound_deployment.init_args
    assert (args.home, list(args.models), args.expected.input) == (tmp_path / "home", ["echo"], ("pii",))
    assert (args.metrics_host, args.metrics_port) == ("0.0.0.0", 9470)
    assert (args.traces.endpoint, args.edge_token_path) == ("http://c:4318/v1/traces", "")
    assert _model_dir(args, "echo") == Path(), "echo has no files"


def test_a_replica_uses_the_model_directory_in_its_arguments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (_, args) = call_user_app_builder_with_args_if_necessary(build, {})._bound_deployment.init_args
    (name,) = args.models
    assert _model_dir(args.model_copy(update={"model_dirs": {name: tmp_path}}), name) == tmp_path


def test_the_application_accepts_no_arguments():
    with pytest.raises(ValidationError, match="extra"):
        call_user_app_builder_with_args_if_necessary(build, {"home": "/"})


UPSTREAM = '[models."gpt"]\nengine = "upstream"\nbase_url = "http://127.0.0.1:1/v1"\nupstream_api_key = "sk-1"\n'


@pytest.mark.parametrize(
    ("others", "deployed"),
    [
        ("", {}),
        ('[models."echo"]\n', {"echo": "Model"}),
        ('[models."a/b"]\nengine = "echo"\n[models."c"]\nengine = "echo"\n', {"a/b": "Model-a-b", "c": "Model-c"}),
    ],
)
def test_an_upstream_model_has_no_replica_and_no_files(tmp_path, monkeypatch, others, deployed):
    (tmp_path / "weir.toml").write_text(UPSTREAM + others)
    monkeypatch.setenv("WEIR_CONFIG", str(tmp_path / "weir.toml"))
    (handles, args) = call_user_app_builder_with_args_if_necessary(build, {})._bound_deployment.init_args
    assert {name: handle._bound_deployment.name for name, handle in handles.items()} == deployed
    assert set(args.models) == {"gpt", *deployed}
    assert {_model_dir(args, name) for name in args.models} == {Path()}
    assert ensure_models(load_settings().settings, lambda _what, _share: None) == {}
    assert "sk-1" not in args.model_dump_json() + repr(args)
