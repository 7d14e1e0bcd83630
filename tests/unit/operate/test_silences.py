"""Silences: their ids and durations in errors and in the table."""

from types import SimpleNamespace
from typing import ClassVar

import pytest
from click.testing import CliRunner
from support import alert_records as records
from support.log_tail import tail_of

from stream.kafka.tail import Tail
from stream.settings import KafkaSettings
from stream.wire import encode, readable
from weir.cli import main
from weir.errors import NotFoundError, SettingsError
from weir.operate import silences
from weir.operate.silences import silence, unsilence

ALERT = records.alert()
HELD = records.silence(ALERT, 100.0, 9_999_999_999.0)


@pytest.fixture
def log(monkeypatch):
    monkeypatch.setattr(silences, "Tail", tail_of(*map(encode, map(records.event, (ALERT, HELD)))))


@pytest.mark.parametrize(("name", "what"), [("si_nope", "no silence 'si_nope'"), ("al_nope", "no alert 'al_nope'")])
async def test_the_error_for_an_unknown_id_states_whether_it_is_a_silence_or_an_alert(log, name, what):
    with pytest.raises(NotFoundError, match=what):
        await unsilence(KafkaSettings(), name, by="jo")


def test_the_id_that_unsilence_accepts_is_in_the_table(log, monkeypatch):
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert HELD.silence_id in CliRunner().invoke(main, ["alerts", "silences"]).stdout


@pytest.mark.parametrize("parameter", ["--for", '"for"'])
async def test_a_duration_out_of_bounds_is_shown_as_given_with_the_name_of_its_parameter(parameter):
    words = f"a duration of 40d is out of bounds, 1m to 30d; give {parameter} as 30m"
    with pytest.raises(SettingsError, match=words):
        await silence(KafkaSettings(), "al_1", duration="40d", reason="x", by="jo", parameter=parameter)


class Topic(Tail):
    """A topic with a silence and alerts, and the alert `al_1` only before the last 30 days; `starts` has the start of each reading."""

    starts: ClassVar[list[float | None]] = []

    def __init__(self, *_arguments, since=None, **_options):
        self._since = since
        Topic.starts.append(since)

    async def records(self):
        old = [ALERT] if self._since is None else []
        for data in (*old, *(records.alert(f"al_other{n}") for n in range(100)), HELD, records.alert("al_new")):
            one = encode(records.event(data))
            yield SimpleNamespace(key=one.key, value=one.value, headers=one.headers, partition=0)


@pytest.mark.parametrize(("alert_id", "readings"), [("al_new", 1), ("al_1", 2)])
async def test_a_command_decodes_silences_and_its_alert_of_the_last_30_days(alert_id, readings, monkeypatch):
    """An alert that is older is found too."""
    decoded = []

    def counted(value, headers):
        decoded.append(value)
        return readable(value, headers)

    async def write(*_):
        pass

    monkeypatch.setattr(silences, "Tail", Topic)
    monkeypatch.setattr(silences._AlertTopic, "write", write)
    monkeypatch.setattr("stream.kafka.tail.readable", counted)
    monkeypatch.setattr(Topic, "starts", [])
    made, _ = await silence(KafkaSettings(), alert_id, duration="2h", reason="x", by="jo")
    assert made.alert_id == alert_id
    assert [start is None for start in Topic.starts] == [False, True][:readings]
    assert len(decoded) == {1: 2, 2: 3}[readings]
