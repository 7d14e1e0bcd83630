"""The passages for the distillation, and the held-out passages."""

import json

import pytest

from stream.loop.smaller.text import load_passages, passages_digest, split
from stream.loop.training.errors import TrainingError


def write(file, rows):
    file.write_text("\n".join(json.dumps(row) for row in rows))
    return file


def rows(count):
    return [{"prompt": f"question {number}", "completion": f"answer {number}"} for number in range(count)]


def test_the_built_in_text_has_hundreds_of_passages():
    passages = load_passages()
    assert len({passage.name for passage in passages}) > 300
    assert max(len(passage.completion) for passage in passages) <= 600


def test_the_same_tenth_is_held_out_for_any_order_of_the_file(tmp_path):
    passages = load_passages(write(tmp_path / "one", rows(40)))
    other = load_passages(write(tmp_path / "two", reversed(rows(40))))
    used, held_out = split(passages)
    assert (used, held_out) == split(other)
    assert (len(used), len(held_out)) == (36, 4)
    assert not set(held_out) & set(used)
    assert passages_digest(passages) == passages_digest(other) != passages_digest(passages[1:])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (json.dumps(rows(1)[0]), "has 1 passages, and at least 20 are needed"),
        ('{"prompt": "a"}', "line 1: Object missing required field `completion`"),
        ("text", "line 1"),
    ],
)
def test_a_file_that_is_too_short_or_invalid_is_an_error_without_its_text(tmp_path, content, expected):
    file = tmp_path / "text.jsonl"
    file.write_text(content)
    with pytest.raises(TrainingError, match=expected) as raised:
        load_passages(file)
    assert "question 0" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TrainingError, match="missing cannot be read"):
        load_passages(tmp_path / "missing")


def test_a_file_in_another_encoding_is_an_error_that_names_the_line(tmp_path):
    (tmp_path / "text").write_bytes('{"prompt": "Grüße", "completion": "x"}'.encode("latin-1"))
    with pytest.raises(TrainingError, match="line 1: 'utf-8' codec can't decode"):
        load_passages(tmp_path / "text")
