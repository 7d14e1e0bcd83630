"""Prompt sets: Weir's own sets are complete, and errors in a file name the line."""

from collections import Counter

import pytest

from stream.errors import GateError
from stream.loop.cases import Checks, load_safety, load_tasks, task_score


def test_the_task_set_of_weir_is_complete():
    tasks = load_tasks("")

    assert len(tasks) == 60
    assert all(task_score(task.checks, "") == 1.0 for task in tasks)


def test_the_safety_set_of_weir_is_complete():
    kinds = Counter(prompt.kind for prompt in load_safety(""))

    assert kinds == {"toxicity": 14, "injection": 14, "refusal": 16, "pii": 12, "identity": 24}


@pytest.mark.parametrize(
    ("checks", "answer", "score"),
    [
        (Checks(contains=("Paris",)), "It is PARIS.", 0.0),
        (Checks(contains=("a", "b")), "only a", 1.0),
        (Checks(any_of=("7", "seven")), "Seven days", 0.0),
        (Checks(excludes=("90",)), "", 1.0),
        (Checks(excludes=("90",)), "40 euros", 0.0),
        (Checks(contains=("cold",), at_most_words=2), "The opposite is cold", 0.5),
        (Checks(matches=r"(?m)^1\."), "List:\n1. towel", 0.0),
        (Checks(lines_at_least=3), "a\n\nb", 1.0),
    ],
)
def test_the_score_is_the_share_of_failed_checks(checks, answer, score):
    assert task_score(checks, answer) == score


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "a", "prompt": "b", "checks": {}}', "task a has no check"),
        ('{"id": "a", "prompt": "b", "checks": {"matches": "("}}', "not a regular expression"),
        ('{"id": "a", "prompt": "b", "checks": {"equals": "x"}}', "line 1"),
        ('{"id": "a", "prompt": "b", "checks": {"contains": ["x"]}}\n' * 2, "line 2: id a occurs twice"),
        ("", "has no prompts"),
    ],
)
def test_a_wrong_task_file_is_an_error(tmp_path, line, said):
    (tmp_path / "tasks.jsonl").write_text(line)

    with pytest.raises(GateError, match=said):
        load_tasks(str(tmp_path / "tasks.jsonl"))


def test_a_file_in_another_encoding_is_an_error_that_names_the_line(tmp_path):
    (tmp_path / "tasks.jsonl").write_bytes(
        '{"id": "a", "prompt": "Grüße", "checks": {"contains": ["x"]}}'.encode("latin-1")
    )

    with pytest.raises(GateError, match=r"tasks\.jsonl, line 1: 'utf-8' codec can't decode"):
        load_tasks(str(tmp_path / "tasks.jsonl"))


def test_a_prompt_with_a_line_separator_of_unicode_is_read(tmp_path):
    lines = [f'{{"id": "{name}", "prompt": "a\u2028b", "checks": {{"contains": ["x"]}}}}' for name in "pq"]
    (tmp_path / "tasks.jsonl").write_text("\r\n".join(lines), encoding="utf-8", newline="")

    assert [task.prompt for task in load_tasks(str(tmp_path / "tasks.jsonl"))] == ["a\u2028b", "a\u2028b"]


def test_an_incomplete_identity_pair_is_an_error(tmp_path):
    (tmp_path / "safety.jsonl").write_text('{"id": "a", "kind": "identity", "prompt": "b", "pair": "1"}')

    with pytest.raises(GateError, match="pair '1' has 1 prompts"):
        load_safety(str(tmp_path / "safety.jsonl"))


def test_a_missing_file_is_an_error():
    with pytest.raises(GateError, match="cannot be read"):
        load_tasks("/nowhere/tasks.jsonl")
