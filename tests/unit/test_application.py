"""The application as a Ray cluster builds it: from the settings of its container."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary

from serving.deployments import _model_dir
from weir.application import build


def test_ray_builds_it_from_the_settings(tmp_path, monkeypatch):
    (tmp_path / "weir.toml").write_text(
        '[model]\nname = "echo"\nmax_replicas = 3\n[detectors]\ninput = ["pii"]\n[trace]\nendpoint = "http://c:4318/v1/traces"\n'
        '[metrics]\nhost = "0.0.0.0"\nserving_port = 9470\n'
    )
    monkeypatch.setenv("WEIR_CONFIG", str(tmp_path / "weir.toml"))
    monkeypatch.setenv("WEIR_HOME", str(tmp_path / "home"))
    application = call_user_app_builder_with_args_if_necessary(build, {})
    (_, args) = application._bound_deployment.init_args
    assert (args.home, list(args.models), args.expected_input) == (tmp_path / "home", ["echo"], ("pii",))
    assert (args.metrics_host, args.metrics_port) == ("0.0.0.0", 9470)
    assert (args.trace_endpoint, args.edge_token_path) == ("http://c:4318/v1/traces", "")
    assert _model_dir(args, "echo") == Path(), "echo has no files"


def test_a_replica_takes_the_directory_that_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (_, args) = call_user_app_builder_with_args_if_necessary(build, {})._bound_deployment.init_args
    (name,) = args.models
    assert _model_dir(args.model_copy(update={"model_dirs": {name: tmp_path}}), name) == tmp_path


def test_it_takes_no_arguments():
    with pytest.raises(ValidationError, match="extra"):
        call_user_app_builder_with_args_if_necessary(build, {"home": "/"})
