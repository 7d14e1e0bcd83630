import os

import pytest
from requests.utils import get_environ_proxies

from weir.local.plan import Plan, state_dir
from weir.local.supervisord import start_supervisord as module
from weir.local.supervisord.run_supervisord import tolerant_stream


@pytest.fixture
def environment_of(tmp_path, monkeypatch):
    """A function that starts supervisord and returns its environment."""

    def start():
        environments = []

        def spawn(_path, _command, environment, **_options):
            environments.append(environment)
            return os.getpid()

        monkeypatch.setattr(module.os, "posix_spawn", spawn)
        monkeypatch.setattr(module.Supervisord, "alive", lambda _: True)
        state_dir(tmp_path).mkdir(parents=True)
        (tmp_path / "logs").mkdir()
        plan = Plan(home=str(tmp_path), run_dir=str(tmp_path), components=[], broker="given", bootstrap="k:1", ports={})
        module.start_supervisord(plan, None)
        return environments[0]

    return start


def test_components_get_the_home_once_and_write_bytecode(environment_of, tmp_path, monkeypatch):
    """A home in a file (WEIR_HOME_FILE) and in WEIR_HOME would be an error in each component."""
    monkeypatch.setenv("WEIR_HOME_FILE", "/run/secrets/home")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environment = environment_of()
    assert environment["WEIR_HOME"] == str(tmp_path)
    assert "WEIR_HOME_FILE" not in environment
    assert "PYTHONDONTWRITEBYTECODE" not in environment


@pytest.mark.parametrize("given", ["", "inside.example", "*"])
def test_components_reach_this_machine_without_a_proxy(given, environment_of, monkeypatch):
    """The exporter of spans and the client of MLflow use requests."""
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", given)
    monkeypatch.delenv("no_proxy", raising=False)
    for name, value in environment_of().items():
        monkeypatch.setenv(name, value)
    assert not get_environ_proxies("http://127.0.0.1:5000/v1/traces")
    assert not get_environ_proxies("http://localhost:5000/v1/traces")
    assert not get_environ_proxies("http://inside.example/v1/traces") or not given
    assert bool(get_environ_proxies("http://outside.example/v1/traces")) == (given != "*")


def test_a_stream_to_a_full_disk_drops_its_text():
    handle = os.open("/dev/full", os.O_WRONLY)
    try:
        with tolerant_stream(handle) as stream:
            for _ in range(3):
                assert stream.write("a line\n") == 7
                stream.flush()
            stream.write("x" * 100_000)
    finally:
        os.close(handle)


def test_a_stream_writes_again_when_the_disk_has_space(tmp_path):
    path = tmp_path / "supervisord.out"
    full, handle = os.open("/dev/full", os.O_WRONLY), os.open(path, os.O_WRONLY | os.O_CREAT)
    used = os.dup(full)
    try:
        with tolerant_stream(used) as stream:
            print("lost", file=stream)
            os.dup2(handle, used)
            print("kept \ud800", file=stream)
            assert path.read_text() == "kept \\ud800\n"
    finally:
        for number in (full, handle, used):
            os.close(number)
