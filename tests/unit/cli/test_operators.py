"""``weir dlq`` and the silences of ``weir alerts``: what is refused before Kafka is asked, and what help shows."""

import pytest
from click.testing import CliRunner
from support.cases import cases

from weir.cli import main

CASES = cases(__file__)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A stack whose broker never answers: nothing listens on port 1."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    (tmp_path / "ports.json").write_text('{"broker": 1}')
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("command", CASES["help"])
def test_help_shows_examples(command):
    told = run(*command, "--help").stdout
    assert "Example" in told
    assert f"weir {' '.join(command)}" in told


@pytest.mark.parametrize(("duration", "reason", "told"), CASES["silences"])
def test_a_silence_out_of_bounds_is_refused_with_the_bound(home, duration, reason, told):
    result = run("alerts", "silence", "al_1", "--for", duration, "--reason", reason)
    assert (result.exit_code, result.stdout) == (1, "")
    assert told in result.stderr


def test_a_silence_needs_a_duration_and_a_reason(home):
    assert "--for" in run("alerts", "silence", "al_1", "--reason", "x").stderr
    assert "--reason" in run("alerts", "silence", "al_1", "--for", "2h").stderr


@pytest.mark.parametrize(("arguments", "told"), CASES["replays"])
def test_a_replay_of_nothing_or_of_both_is_refused(home, arguments, told):
    result = run("dlq", "replay", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


@pytest.mark.parametrize("arguments", CASES["without_kafka"])
def test_without_kafka_the_address_and_the_remedy_are_named(home, arguments):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no Kafka answers at 127.0.0.1:1; start the stack with `weir up`" in result.stderr


def test_who_asks_for_a_letters_text_is_written_down_before_it_is_read(home):
    run("dlq", "show", "17", "--text")
    assert '"dead_letter": 17' in (home / "logs" / "access.log").read_text()
