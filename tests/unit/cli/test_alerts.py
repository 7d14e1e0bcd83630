"""``weir alerts``: the order of its lines, and the scope of a silence."""

import asyncio
import json
import signal
import subprocess
import sys

import msgspec
import pytest
from click.testing import CliRunner
from support import alert_records as records

from weir.cli import main
from weir.client import Alert
from weir.client.times import format_time


def alert(alert_id, at, **fields):
    return msgspec.structs.replace(
        msgspec.convert(records.alert(alert_id, opened_at=at, **fields), Alert, from_attributes=True), at=at
    )


#: Runs in a new process, because a signal that the command does not handle ends the whole process.
SIGNALLED = """
import asyncio, signal, sys
import weir.client
from weir.cli import main

class Client:
    async def alerts(self, *, since, follow):
        signal.raise_signal(int(sys.argv[1]))
        await asyncio.Event().wait()
        yield

    retraining = alerts

weir.client.Client = Client
main(sys.argv[2:])
"""
PUBLISHED = [
    alert("al_1", 300.0),
    alert("al_2", 200.0, model="gpt\u202e4\x9b2J"),
    alert("al_1", 320.0, state="resolved", resolved_at=320.0),
    alert("al_3", 310.0),
]


@pytest.fixture
def published(monkeypatch):
    class Client:
        async def alerts(self, *, since, follow):
            for item in PUBLISHED:
                await asyncio.sleep(0)
                yield item

    monkeypatch.setattr("weir.client.Client", Client)


@pytest.mark.parametrize(
    ("arguments", "order"),
    [
        ((), ["al_2", "al_1", "al_3", "al_1"]),
        (("--since", "1h"), ["al_2", "al_1", "al_3", "al_1"]),
        (("--follow",), ["al_1", "al_2", "al_1", "al_3"]),
    ],
)
def test_alerts_are_ordered_by_time_and_with_follow_as_published(published, arguments, order):
    result = CliRunner().invoke(main, ["alerts", "--json", *arguments])
    assert [json.loads(line)["alert_id"] for line in result.stdout.splitlines()] == order


@pytest.mark.parametrize(
    ("arguments", "number", "status"),
    [
        (["alerts"], signal.SIGINT, 130),
        (["alerts", "--json"], signal.SIGTERM, 130),
        (["alerts", "--follow"], signal.SIGINT, 0),
        (["retraining"], signal.SIGTERM, 130),
        (["retraining", "--json"], signal.SIGINT, 130),
        (["retraining", "--follow"], signal.SIGTERM, 0),
    ],
)
def test_a_signal_ends_a_command_with_status_130_and_no_result_and_with_follow_with_0(arguments, number, status):
    command = [sys.executable, "-c", SIGNALLED, str(int(number)), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "", "")


def test_a_line_has_the_time_of_the_change(published):
    lines = [line for line in CliRunner().invoke(main, ["alerts"]).stdout.splitlines() if "al_" in line]
    assert [line[:20] for line in lines] == [format_time(at) for at in (200.0, 300.0, 310.0, 320.0)]


def test_the_name_of_a_model_cannot_control_the_terminal(published):
    assert " acme/gpt\ufffd4\ufffd2J/input " in CliRunner().invoke(main, ["alerts"]).stdout


def test_a_silence_names_the_version_that_weir_trained(monkeypatch):
    silence = records.silence(records.alert(model="m\u202e4", model_version="m_59a26d56f505"), 100.0, 200.0)

    async def list_silences(_kafka):
        return [silence]

    monkeypatch.setattr("weir.cli.alerts._kafka", lambda: None)
    monkeypatch.setattr("weir.operate.silences.list_silences", list_silences)
    result = CliRunner().invoke(main, ["alerts", "silences"])
    assert "acme/m\ufffd4/m_59a26d56f505/input/pii" in result.stdout


def test_the_reason_of_an_ended_silence_cannot_control_the_terminal(monkeypatch):
    silence = msgspec.structs.replace(records.silence(records.alert(), 100.0, 200.0), reason="noon\x1b[2J")

    async def unsilence(_kafka, _name, *, by):
        return [silence]

    monkeypatch.setattr("weir.cli.alerts._logged", lambda *_arguments, **_fields: None)
    monkeypatch.setattr("weir.operate.silences.unsilence", unsilence)
    assert ": noon\ufffd[2J)" in CliRunner().invoke(main, ["alerts", "unsilence", "si_1"]).stdout
