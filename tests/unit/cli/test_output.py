"""Output of commands into a pipe: one line per row, for programs such as grep and awk."""

import json

import pytest
from rich.text import Text

from weir.cli.render.output import print_json, print_table, screen

LONG = "load test of the new release; " * 16


def test_a_row_of_a_table_is_one_line_in_a_pipe(capsys):
    print_table(["reason", "id"], [[LONG, "si_1"], ["short", "si_2"]], "nothing")
    _head, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[-1] for row in rows] == ["si_1", "si_2"]


@pytest.mark.parametrize(("width", "lines"), [(60, 2), (120, 3)])
def test_a_table_on_a_terminal_breaks_no_id(width, lines, capsys, monkeypatch):
    """On a terminal that is too narrow for the ids, the terminal wraps the rows."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    ids = ["b4d80734-0b22-4e92-906a-943349552f3c", "http://127.0.0.1:18231/v1", "/home/weir/.weir/logs/broker.log"]
    print_table(["request", "address", "log", "reason"], [[*ids, "load test of the new release"]], "nothing")
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == lines
    assert shown[1].split()[:3] == ids


def test_a_text_is_one_line_in_a_pipe(capsys):
    screen().print(LONG)
    assert capsys.readouterr().out == f"{LONG}\n"


def test_a_name_from_a_client_cannot_control_the_terminal(capsys):
    """U+202E reverses the text after it, and U+009B begins an escape sequence."""
    print_table(["model", "id"], [["gpt\u202e4", "si_1"], ["m\x9b2J", "si_2"]], "nothing")
    screen().print(Text("gpt\u202e4"), soft_wrap=True)
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert shown[1:] == [["gpt\ufffd4", "si_1"], ["m\ufffd2J", "si_2"], ["gpt\ufffd4"]]


def test_a_word_in_colons_is_no_emoji(capsys):
    print_table(["model"], [["ft:gpt-4o-mini:acme:robot:9abc"]], "nothing")
    assert capsys.readouterr().out.split() == ["model", "ft:gpt-4o-mini:acme:robot:9abc"]


def test_text_in_json_cannot_control_the_terminal_and_stays_the_same(capsys):
    value = {"text": "m\x9b2J \x7f \u202e \U000e0041 ä 日本 \n"}
    print_json(value)
    printed = capsys.readouterr().out
    assert printed.removesuffix("\n").isprintable()
    assert "ä 日本" in printed
    assert json.loads(printed) == value
