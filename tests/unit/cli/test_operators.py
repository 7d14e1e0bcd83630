"""``weir dlq`` and ``weir alerts silence``: arguments that are rejected before the command connects to Kafka."""

import pytest
from click.testing import CliRunner
from support.cases import cases

from weir.cli import main

CASES = cases(__file__)


pytestmark = pytest.mark.usefixtures("no_broker")


def run(*arguments):
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(("duration", "reason", "told"), CASES["silences"])
def test_a_silence_out_of_bounds_is_rejected_with_the_bound(duration, reason, told):
    result = run("alerts", "silence", "al_1", "--for", duration, "--reason", reason)
    assert (result.exit_code, result.stdout) == (1, "")
    assert told in result.stderr


def test_a_silence_needs_a_duration_and_a_reason():
    assert "--for" in run("alerts", "silence", "al_1", "--reason", "x").stderr
    assert "--reason" in run("alerts", "silence", "al_1", "--for", "2h").stderr


@pytest.mark.parametrize(("arguments", "told"), CASES["replays"])
def test_a_replay_needs_either_offsets_or_a_selection(arguments, told):
    result = run("dlq", "replay", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


@pytest.mark.parametrize("arguments", CASES["without_kafka"])
def test_without_kafka_the_address_and_the_remedy_are_named(arguments):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no Kafka answers at 127.0.0.1:1; `weir status` shows" in result.stderr


@pytest.mark.parametrize("command", ["approve", "reject", "resume"])
def test_a_key_file_in_another_encoding_is_rejected(command, tmp_path):
    (tmp_path / "key").write_bytes("weir-key".encode("utf-16"))
    result = run("retraining", command, "rt_1", "--key-file", str(tmp_path / "key"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"--key-file {tmp_path / 'key'} is not UTF-8 text" in result.stderr


def test_the_access_to_a_letters_text_is_logged_before_it_is_read(no_broker):
    run("dlq", "show", "17", "--text")
    assert '"dead_letter": 17' in (no_broker / "logs" / "access.log").read_text()


@pytest.mark.parametrize("arguments", CASES["without_a_ledger"])
def test_without_a_ledger_the_home_is_named(arguments, no_broker):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"no ledger in {no_broker / 'ledger'}" in result.stderr


def test_without_routes_the_home_is_named(no_broker):
    """The command may run in another container or clone than the stack, and then the routes are in another home."""
    assert f"no routes in {no_broker}" in run("route", "show").stdout
    assert f"no new version answers in {no_broker}" in run("route", "kill", "--reason", "wrong answers").stderr


def test_the_access_log_has_no_password_of_the_archive(no_broker, monkeypatch):
    monkeypatch.setenv("WEIR_ARCHIVE__URL", "nosuch://ann:hunter2@host/weir")
    assert run("archive", "run").exit_code == 1
    entry = (no_broker / "logs" / "access.log").read_text()
    assert "host/weir" in entry
    assert "hunter2" not in entry
