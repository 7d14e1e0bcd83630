import json
import tracemalloc

import pytest
from click.testing import CliRunner
from support.cases import cases

from detectors.base import Turn
from detectors.pii.detector import PiiDetector
from detectors.registry import create_text
from weir.cli import main
from weir.quality.scoring import BadLine, Item, read_items, score_items

CASES = cases(__file__)
pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(scope="module")
def pii():
    detector = PiiDetector()
    detector.load()
    return detector


def test_json_lines_keep_their_ids_and_order():
    lines = [b'{"id": "a", "text": "one"}\n', b"\n", b'{"id": 7, "text": "two"}\n', b'{"text": "three"}\n']
    assert list(read_items(lines)) == [
        Item(id="a", text="one"),
        Item(id=7, text="two"),
        Item(id="4", text="three"),
    ]


@pytest.mark.parametrize("given", ['"2"', "2"])
@pytest.mark.parametrize("after", [False, True])
def test_an_id_that_is_given_and_is_the_number_of_a_line_without_id_is_an_error(given, after):
    with_id, without = f'{{"id": {given}, "text": "a"}}\n'.encode(), b'{"text": "b"}\n'
    lines = [without, without, with_id] if after else [with_id, without, without]
    bad = [item for item in read_items(lines) if isinstance(item, BadLine)]
    assert [item.line for item in bad] == [3 if after else 2]
    assert "is also the number of a line without id; give every line an id, or none" in bad[0].error
    assert [item.id for item in read_items([with_id, with_id])] == [json.loads(given)] * 2, (
        "the user's own ids may repeat"
    )


@pytest.mark.parametrize(
    "line", ['{"id":"request-%d","text":"a"}', '{"id":%d,"text":"a"}', '{"id":17000%09d,"text":"a"}']
)
def test_ids_that_cannot_be_the_number_of_a_later_line_take_no_memory(line):
    lines = ((line % number).encode() for number in range(20_000))
    tracemalloc.start()
    try:
        assert sum(isinstance(item, Item) for item in read_items(lines)) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_text_may_have_a_prompt():
    chat = b'{"text": "c", "prompt": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]}'
    one, two, three = read_items([b'{"text": "b", "prompt": "a"}', b'{"text": "b", "prompt": null}', chat])
    assert one.prompt == (Turn(role="user", content="a"),)
    assert two.prompt == ()
    assert three.prompt == (Turn(role="system", content="a"), Turn(role="user", content="b"))


def test_a_detector_that_compares_text_and_prompt_gets_both():
    detector = create_text("language")
    detector.load()
    german = "Das Wetter war schön, deshalb sind wir lange am Fluss spazieren gegangen."
    line = {"text": german, "prompt": "Please tell me in a few words what you did yesterday evening."}
    ((_, row),) = score_items(read_items([json.dumps(line).encode()]), [detector])
    assert row["verdicts"][0]["label"] == "mismatch"


def test_plain_lines_get_their_number_even_if_a_later_line_looks_like_json():
    assert [(item.id, item.text) for item in read_items([b"one\r\n", b'{"two": 2}\n'])] == [
        ("1", "one"),
        ("2", '{"two": 2}'),
    ]


@pytest.mark.parametrize(("line", "name", "reason"), [*CASES["bad_lines"], ("[" * 100_000 + "\n", "2", "invalid JSON")])
def test_a_bad_line_has_its_error_at_its_position(line, name, reason):
    first, bad, last = read_items([b'{"text": "a"}\n', line.encode("latin-1"), b'{"text": "b"}\n'])
    assert isinstance(bad, BadLine)
    assert (bad.line, bad.id) == (2, name)
    assert reason in bad.error
    assert (first.text, last.text) == ("a", "b")


def test_verdicts_are_in_the_order_of_the_lines(pii):
    lines = [b'{"id": "a", "text": "hello"}', b"{", b'{"id": "b", "text": "mail jane.roe@example.org"}']
    rows = [row for _, row in score_items(read_items(lines), [pii])]
    assert [row["id"] for row in rows] == ["a", "2", "b"]
    assert rows[1]["verdicts"] == []
    assert rows[1]["line"] == 2
    (verdict,) = rows[2]["verdicts"]
    assert set(verdict) >= {"detector", "version", "flagged", "label", "score", "spans"}
    assert verdict["flagged"] is True
    assert {"start": 5, "end": 25, "type": "EMAIL_ADDRESS"}.items() <= verdict["spans"][0].items()
    assert "jane" not in json.dumps(rows)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_command_prints_one_object_per_line_and_reports_bad_lines(options):
    run = CliRunner().invoke(
        main, ["score", "--detector", "pii", *options, "-"], input='{"id": 1, "text": "hi"}\n{"id": 2}\n'
    )
    assert run.exit_code == 1
    assert [json.loads(line)["id"] for line in run.stdout.splitlines()] == [1, 2]
    assert "line 2" in run.stderr
    assert "weir: 1 bad line has no verdicts" in run.stderr


def test_an_unknown_detector_is_an_error_that_names_the_known_ones():
    run = CliRunner().invoke(main, ["score", "--detector", "drift"], input="x\n")
    assert run.exit_code == 1
    assert "no text detector is named 'drift'" in run.stderr
    assert "pii" in run.stderr


def test_the_help_states_which_lines_are_json_and_that_empty_lines_have_no_object():
    text = " ".join(CliRunner().invoke(main, ["score", "--help"]).stdout.split())
    assert "else every line is plain text, also a line that looks like JSON" in text
    assert "empty lines are counted but have no object" in text
    plain = CliRunner().invoke(main, ["score", "--detector", "pii"], input='one\n\n{bad\n{"id": "b"}\n')
    assert (plain.exit_code, [json.loads(line)["id"] for line in plain.stdout.splitlines()]) == (0, ["1", "3", "4"])
