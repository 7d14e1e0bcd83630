import errno
import json
import os
import socket
import subprocess
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from support.commands import WEIR, without_rights_of_root

from serving.errors import RayLocalError
from serving.process_identity import process_identity
from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import Heartbeat
from stream.ledger.queries.ledger_reader import LedgerReader
from weir.cli import main
from weir.errors import StackError
from weir.local.preflight import check_http_port, create_home, stack_lock
from weir.local.stack_state import ComponentState, save_components
from weir.settings import load_settings


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path / "home"))
    return lambda *arguments: CliRunner().invoke(main, list(arguments))


def commands(command=main, *path):
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), *path, name)


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_command_has_help_with_an_example(run, path):
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert " ".join(("weir", *path)) in result.output


def test_keys_are_created_listed_and_revoked(run):
    created = json.loads(run("keys", "create", "--tenant", "support", "--json").output)
    assert created["key"].startswith("weir-")
    (listed,) = json.loads(run("keys", "list", "--json").output)
    assert (listed["id"], listed["tenant"], listed["revoked"]) == (created["id"], "support", None)
    assert created["key"] not in run("keys", "list").output
    assert run("keys", "revoke", created["id"]).exit_code == 0
    assert json.loads(run("keys", "list", "--json").output)[0]["revoked"]


def test_errors_are_one_line_with_status_1(run):
    result = run("keys", "revoke", "k_none")
    assert result.exit_code == 1
    assert "no key 'k_none' in " in result.output
    assert "which has 0 keys; give an id that `weir keys list` shows" in result.output
    assert len(result.output.splitlines()) == 1


def test_an_error_of_serving_is_one_line_with_status_1(run, monkeypatch):
    def fails():
        raise RayLocalError("the run directory is a file")

    monkeypatch.setattr("weir.settings.load_settings", fails)
    result = run("topics", "create")
    assert (result.exit_code, result.stderr) == (1, "weir: the run directory is a file\n")


def test_doctor_names_every_check_and_the_remedy_of_each_failed_check(run, monkeypatch):
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    result = run("doctor", "--json")
    checks = json.loads(result.output)
    assert {"python", "settings", "home", "memory", "kafka", "http-port"} <= {check["check"] for check in checks}
    assert all({"check", "ok", "detail", "remedy"} <= check.keys() for check in checks)
    failed = {check["check"]: check["remedy"] for check in checks if not check["ok"]}
    assert failed["kafka"].startswith("this Kafka does not answer")
    assert "" not in failed.values()
    assert "weir-llm[]" not in result.output


def test_doctor_reports_a_setting_that_cannot_be_read(run, monkeypatch):
    monkeypatch.setenv("WEIR_HTTP__PORT", "99999")
    result = run("doctor")
    assert result.exit_code == 1
    assert "http.port" in result.output


def test_doctor_names_the_address_of_the_running_stack(run, tmp_path):
    """Another shell may have another WEIR_HTTP__PORT."""
    create_home(tmp_path / "home")
    address, log = "http://127.0.0.1:8043/v1", {"health_url": "", "log": "", "started_at": 0.0, "restarts": 0}
    pid = os.getpid()
    serve = ComponentState(name="serve", pid=pid, identity=process_identity(pid), address=address, running=True, **log)
    save_components(tmp_path / "home", [serve])
    checks = {check["check"]: check["detail"] for check in json.loads(run("doctor", "--json").output)}
    assert checks["http-port"] == "http://127.0.0.1:8043/v1, in use by this stack"


def test_doctor_without_maven_names_the_package(run, monkeypatch):
    monkeypatch.setattr("weir.local.doctor.apache_available", lambda: False)
    kafka = next(check for check in json.loads(run("doctor", "--json").output) if check["check"] == "kafka")
    assert (kafka["ok"], kafka["required"]) == (False, False)
    assert "apt-get install maven" in kafka["remedy"]


def test_doctor_checks_the_broker_whose_data_the_home_has(run, tmp_path):
    (tmp_path / "home" / "kafka" / "embedded").mkdir(parents=True)
    checks = {check["check"]: check for check in json.loads(run("doctor", "--json").output)}
    assert (checks["kafka"]["ok"], checks["kafka"]["detail"]) == (True, "embedded broker")
    assert "java" not in checks


def test_config_shows_values_with_their_sources_and_masks_secrets(run, monkeypatch):
    monkeypatch.setenv("WEIR_KAFKA__SASL_PASSWORD", "hunter2")
    shown = json.loads(run("config", "--json").output)
    assert shown["kafka.sasl_password"] == {"value": "********", "source": "environment WEIR_KAFKA__SASL_PASSWORD"}
    assert shown["http.port"] == {"value": 8000, "source": "default"}
    assert shown["capture.enabled"]["value"] is True
    assert shown["detectors.input"]["value"] == ["pii", "toxicity", "injection", "tools"]
    assert "hunter2" not in run("config").output


def test_topics_without_a_stack_names_the_home(run, tmp_path):
    result = run("topics")
    assert result.exit_code == 1
    assert str(tmp_path / "home") in result.output


def test_down_without_a_stack_is_no_error(run, tmp_path):
    assert run("down").exit_code == 0
    create_home(tmp_path / "home")
    result = run("down")
    assert (result.exit_code, str(tmp_path / "home") in result.output) == (0, True)


def test_a_busy_http_port_is_an_error_with_its_owner_and_the_setting(run, monkeypatch):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        monkeypatch.setenv("WEIR_HTTP__PORT", str(port))
        with pytest.raises(StackError, match=rf"{port} .*pid {os.getpid()}.*WEIR_HTTP__PORT"):
            check_http_port(load_settings().settings)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.7", "a" * 64])
def test_a_host_that_is_no_address_of_this_machine_is_an_error(run, monkeypatch, host):
    monkeypatch.setenv("WEIR_HTTP__HOST", host)
    with pytest.raises(
        StackError, match=rf"http\.host '{host}' is not an IPv4 address of this machine .*WEIR_HTTP__HOST"
    ):
        check_http_port(load_settings().settings)
    (check,) = [one for one in json.loads(run("doctor", "--json").output) if one["check"] == "http-port"]
    assert (check["ok"], "in use" in check["detail"], "WEIR_HTTP__HOST" in check["remedy"]) == (False, False, True)


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_home_that_cannot_be_created_is_an_error_with_the_setting(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match=rf"{tmp_path / name} .*WEIR_HOME"):
        create_home(tmp_path / name)


def test_a_home_of_another_user_is_an_error_with_its_owner(tmp_path):
    home = Path("/usr")
    if os.geteuid() == 0:
        home = tmp_path / "home"
        home.mkdir()
        os.chown(home, 65534, 65534)
    environment = os.environ | {"WEIR_HOME": str(home)}
    for command in ("up", "down"):
        run = [*without_rights_of_root(), *WEIR, command]
        done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert f"it belongs to the user {home.owner()}: run the command as this user, or set WEIR_HOME" in done.stderr


def test_doctor_runs_all_checks_in_a_home_that_it_cannot_read(tmp_path):
    (tmp_path / "state").mkdir()
    tmp_path.chmod(0)
    run = [*without_rights_of_root(), *WEIR, "doctor", "--json"]
    environment = os.environ | {"WEIR_HOME": str(tmp_path)}
    done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=60, check=False)
    tmp_path.chmod(0o700)
    checks = json.loads(done.stdout)
    unreadable = {check["check"] for check in checks if "Permission denied" in check["detail"]}
    assert (done.returncode, unreadable) == (1, {"home", "http-port"})
    assert {"memory", "packages", "kafka"} < {check["check"] for check in checks}


def test_two_commands_do_not_change_one_stack_at_once(tmp_path):
    create_home(tmp_path)
    with stack_lock(tmp_path), pytest.raises(StackError, match=rf"pid {os.getpid()}"), stack_lock(tmp_path):
        pass
    with stack_lock(tmp_path):
        pass


def test_a_stack_can_be_stopped_while_the_disk_is_full(tmp_path, monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    create_home(tmp_path)
    monkeypatch.setattr(Path, "write_text", full)
    with stack_lock(tmp_path), pytest.raises(StackError, match="pid unknown"), stack_lock(tmp_path):
        pass


@pytest.mark.parametrize("step", [60, -3600])
def test_a_rebuild_prints_the_number_of_records_to_read_if_it_is_known(run, tmp_path, monkeypatch, step):
    """Also if the clock steps back after the request: the heartbeats are then older than the request."""
    files, later = LedgerFiles(tmp_path / "home" / "ledger"), time.time() + step
    files.directory.mkdir(parents=True)
    states = [{}, {"lag": {"weir.inference": 7}}, {"lag": {"weir.inference": 0}}, {"caught_up": True}]
    beats = iter([Heartbeat(wall_time=later + number, **state) for number, state in enumerate(states)])
    monkeypatch.setattr(LedgerFiles, "rebuild_requested", lambda _: False)
    monkeypatch.setattr(LedgerReader, "heartbeat", lambda _: next(beats))
    monkeypatch.setattr("weir.cli.ledger._POLL_SECONDS", 0.0)
    with files.lock():
        lines = run("ledger", "rebuild").stderr.splitlines()
    assert lines[0] == "7 records to read"
    assert [line[:10] for line in lines[1:]] == ["rebuilt in"]
