"""Output of commands into a pipe: one line per row, for programs such as grep and awk."""

from rich.text import Text

from weir.cli.render.output import print_table, screen

LONG = "load test of the new release; " * 16


def test_a_row_of_a_table_is_one_line_in_a_pipe(capsys):
    print_table(["reason", "id"], [[LONG, "si_1"], ["short", "si_2"]], "nothing")
    _head, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[-1] for row in rows] == ["si_1", "si_2"]


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
