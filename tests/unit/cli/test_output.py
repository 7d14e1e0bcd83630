"""Output of commands into a pipe: one line per row, for programs such as grep and awk."""

from weir.cli.render.output import print_table, screen

LONG = "load test of the new release; " * 16


def test_a_row_of_a_table_is_one_line_in_a_pipe(capsys):
    print_table(["reason", "id"], [[LONG, "si_1"], ["short", "si_2"]], "nothing")
    _head, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[-1] for row in rows] == ["si_1", "si_2"]


def test_a_text_is_one_line_in_a_pipe(capsys):
    screen().print(LONG)
    assert capsys.readouterr().out == f"{LONG}\n"
