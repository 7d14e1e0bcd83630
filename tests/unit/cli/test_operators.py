"""``weir dlq`` and the silences of ``weir alerts``: what is refused before Kafka is asked, and what help shows."""

import pytest
from click.testing import CliRunner

from weir.cli import main


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A stack whose broker never answers: nothing listens on port 1."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    (tmp_path / "ports.json").write_text('{"broker": 1}')
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    "command",
    [
        ("dlq",),
        ("dlq", "list"),
        ("dlq", "show"),
        ("dlq", "replay"),
        ("alerts",),
        ("alerts", "silence"),
        ("alerts", "unsilence"),
        ("alerts", "silences"),
    ],
)
def test_help_shows_examples(command):
    told = run(*command, "--help").stdout
    assert "Example" in told
    assert f"weir {' '.join(command)}" in told


@pytest.mark.parametrize(
    ("duration", "reason", "told"),
    [
        ("59s", "x", "1m to 30d"),
        ("31d", "x", "1m to 30d"),
        ("99999999999d", "x", "30s, 10m, 2h or 1d"),
        ("long", "x", "30s, 10m, 2h or 1d"),
        ("2h", "  ", "give 1 to 500"),
        ("2h", "x" * 501, "give 1 to 500"),
    ],
)
def test_a_silence_out_of_bounds_is_refused_with_the_bound(home, duration, reason, told):
    result = run("alerts", "silence", "al_1", "--for", duration, "--reason", reason)
    assert (result.exit_code, result.stdout) == (1, "")
    assert told in result.stderr


def test_a_silence_needs_a_duration_and_a_reason(home):
    assert "--for" in run("alerts", "silence", "al_1", "--reason", "x").stderr
    assert "--reason" in run("alerts", "silence", "al_1", "--for", "2h").stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "give OFFSETs or --all"),
        (("1", "--all"), "give OFFSETs or --all"),
        (("1", "--stage", "score"), "apply to --all"),
        (("--all", "--disposition", "bad"), "'decode', 'schema', 'oversize', 'timeout', 'bug'"),
        (("-1",), "-1"),
    ],
)
def test_a_replay_of_nothing_or_of_both_is_refused(home, arguments, told):
    result = run("dlq", "replay", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("dlq", "list"),
        ("dlq", "show", "1"),
        ("dlq", "replay", "--all"),
        ("alerts", "silence", "al_1", "--for", "2h", "--reason", "x"),
        ("alerts", "unsilence", "al_1"),
        ("alerts", "silences"),
    ],
)
def test_without_kafka_the_address_and_the_remedy_are_named(home, arguments):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no Kafka answers at 127.0.0.1:1; start the stack with `weir up`" in result.stderr


def test_who_asks_for_a_letters_text_is_written_down_before_it_is_read(home):
    run("dlq", "show", "17", "--text")
    assert '"dead_letter": 17' in (home / "logs" / "access.log").read_text()
