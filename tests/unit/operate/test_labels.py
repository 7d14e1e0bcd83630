"""The file of `weir labels import`: formats, and errors that name the line and never the text."""

import asyncio
import json
import os
from unittest.mock import Mock

import pytest
from click.testing import CliRunner
from support.console_ledger import NAMES, LedgerMaker
from support.events import event_of

from stream.ledger.queries import judged_answers
from stream.settings import KafkaSettings
from stream.wire import LabelRecord
from weir.cli import main
from weir.errors import SettingsError
from weir.home.api_keys import create_key
from weir.operate.labels import check_tenant_known, import_labels, read_labels

LINES = [
    {"request_id": "r-1", "correct": True},
    {"request_id": "r-2", "value": 0.5, "at": "2026-01-31T12:00:00Z", "source": "crm"},
]
TABLE = 'request_id,correct,value,at,source\nr-1,true,,,\n\nr-2,,0.5,2026-01-31T12:00:00Z,crm\nr-3,No,,12.5,"crm"\n'


def written(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return path


def records(path):
    return [label.record(tenant="acme", principal="k", now=7.0) for label in read_labels(path)]


def test_json_lines_and_csv_have_the_same_labels(tmp_path):
    lines = records(written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, LINES)) + "\n\n"))
    table = records(written(tmp_path, "a.csv", TABLE))
    assert table[:2] == lines
    assert [(one.value, one.at) for one in table] == [(1.0, 7.0), (0.5, 1769860800.0), (0.0, 12.5)]
    assert len({one.label_id for one in table}) == 3
    assert records(written(tmp_path, "b.csv", "\N{ZERO WIDTH NO-BREAK SPACE}" + TABLE)) == table  # a byte order mark


@pytest.mark.parametrize(
    ("name", "text", "line", "words"),
    [
        ("a.jsonl", '{"request_id": "r", "correct": true}\n{"request_id": "r"}\n', 2, "send either value"),
        ("a.jsonl", "{}canary\n", 1, "a.jsonl, line 1: it is not valid JSON: trailing characters at column 3."),
        (
            "a.jsonl",
            '\n{"request_id": "r", \n',
            2,
            "line 2: it is not valid JSON: EOF while parsing a value at column 19.",
        ),
        ("a.jsonl", '["canary"]', 1, "line 1: input should be an object; got an array of 1 item."),
        ("a.jsonl", '\n{"request_id": "a canary", "correct": true}\n', 2, "request_id"),
        ("a.csv", "request_id,correct\nr,canary\n", 2, "correct"),
        ("a.csv", "request_id,value\nr,1.5\n", 2, "got 1.5"),
        ("a.csv", "request_id,value\nr,inf\n", 2, "value"),
        ("a.csv", "request_id,correct,at\nr,true,nan\n", 2, "at"),
        ("a.csv", "request_id,correct,note\nr,true,canary\n", 2, "Unknown parameter 'note'"),
        ("a.csv", "request_id,correct\nr,true,canary\n", 2, "more columns than the header"),
    ],
)
def test_an_error_names_the_line_and_not_the_text(tmp_path, name, text, line, words):
    with pytest.raises(SettingsError) as error:
        records(written(tmp_path, name, text))
    assert f"line {line}: " in str(error.value)
    assert words in str(error.value)
    assert "canary" not in str(error.value)


@pytest.mark.parametrize(("name", "text"), [("a.jsonl", ""), ("a.jsonl", "\n \n"), ("a.csv", "request_id,correct\n")])
def test_a_file_without_labels_is_an_error_that_names_the_file_and_the_formats(tmp_path, name, text):
    path = written(tmp_path, name, text)
    work = import_labels(KafkaSettings(), path, tenant="acme", by="operator:jo", progress=lambda _sent, _total: None)
    with pytest.raises(SettingsError, match=rf"{name} contains no label; write one JSON object per line"):
        asyncio.run(work)


def test_a_tenant_that_no_request_can_have_is_an_error(tmp_path):
    path = written(tmp_path, "a.jsonl", json.dumps(LINES[0]))
    work = import_labels(KafkaSettings(), path, tenant="acme ", by="operator:jo", progress=lambda _sent, _total: None)
    with pytest.raises(SettingsError, match="tenant 'acme ' is not a valid name"):
        asyncio.run(work)


def test_a_tenant_without_request_and_key_is_an_error_that_names_the_known_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    check_tenant_known(
        tmp_path, "acem"
    )  # without a ledger there is no error, because labels can be imported before the stack runs
    maker = LedgerMaker(tmp_path / "ledger")
    maker.side("r-1", "input", 1.0, tenant="acme")
    maker.close()
    create_key(tmp_path, "support")
    check_tenant_known(tmp_path, "acme")
    check_tenant_known(tmp_path, "support")
    file = written(tmp_path, "a.jsonl", json.dumps(LINES[0]))
    result = CliRunner().invoke(main, ["labels", "import", str(file), "--tenant", "acem"])
    assert result.exit_code == 1
    assert "tenant 'acem' has no request" in result.stderr
    assert "use one of: acme, support" in result.stderr


def test_labels_without_an_answer_are_counted_beside_the_accuracy(tmp_path, monkeypatch):
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    maker = LedgerMaker(tmp_path / "ledger")
    maker.side("r1", "output", 100.0)
    given = [LabelRecord(label_id=name, request_id=name, tenant="acme", at=1.0, value=1.0) for name in ("r1", "r9")]
    maker.apply(NAMES.feedback, *(event_of(one, f"l/{one.label_id}", 200.0) for one in given))
    maker.close()
    values = Mock(wraps=judged_answers._values)
    monkeypatch.setattr(judged_answers, "_values", values)
    done = CliRunner().invoke(main, ["labels", "accuracy"])
    assert values.call_count == 1, "the labels are read once for both numbers"
    assert "not counted: 1 labelled request without an answer in the ledger" in done.stderr
    assert "100.0%" in done.stdout


async def test_a_pipe_is_an_error_because_the_file_is_read_twice(tmp_path):
    """`… | weir labels import /dev/stdin` checked all labels, sent none, and ended with status 0."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    os.write(writer, b'{"request_id": "r", "correct": true}\n')
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    try:
        with pytest.raises(SettingsError, match="pipe is no regular file, and is read twice"):
            await import_labels(kafka, pipe, tenant="acme", by="operator:jo", progress=print)
    finally:
        os.close(writer)
