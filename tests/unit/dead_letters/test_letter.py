"""Metadata of dead letters, which never contains content."""

from types import SimpleNamespace

import msgspec
import pytest
from support.cases import cases

from stream.dead_letters import REPLAYED, dead_letter_headers
from stream.wire import DecodeError, decode
from weir.cli.render.dead_letter import letter_lines
from weir.dead_letters.letter import ShownLetter, letter_of, replay_note_of
from weir.dead_letters.shown_headers import escaped, shown_headers

CASES = cases(__file__)
OWN = (("ce_id", b"r1/request"), ("ce_correlationid", b"r1"), ("ce_type", b"weir.inference.request.v1"))


def message(**changes):
    fields = {"topic": "weir.inference", "partition": 3, "offset": 42, "key": b"k", "value": b"words", "headers": OWN}
    return SimpleNamespace(**fields | changes)


def record(headers, *, key=b"k", value=b"words", offset=7):
    return SimpleNamespace(offset=offset, timestamp=1_500, key=key, value=value, headers=headers)


def kept(**changes):
    why = {"stage": "score", "place": "stream.stages.score.model_pool", "error": "ValueError", "disposition": "bug"}
    return dead_letter_headers(message(**changes), **why)


def test_the_metadata_of_a_letter_is_in_its_headers():
    letter = letter_of(record(kept()))
    assert msgspec.to_builtins(letter) == CASES["metadata"]


def test_the_reason_of_an_unreadable_record_is_printed():
    headers = (("ce_specversion", b"1.0"), ("ce_type", b"weir.verdict.v9"))
    with pytest.raises(DecodeError) as caught:
        decode(b"{}", headers)
    written = dead_letter_headers(
        message(headers=headers), stage="score", place="p", error=caught.value, disposition="decode"
    )
    letter = letter_of(record(written))
    assert letter.exception == "DecodeError"
    assert letter.reason.startswith("ce_type is not one of Weir's ")
    lines = letter_lines(ShownLetter(**msgspec.structs.asdict(letter), headers=[]))
    assert f"reason       {letter.reason}" in lines


def test_a_record_without_our_headers_has_no_source():
    letter = letter_of(record(()))
    assert (letter.topic, letter.partition, letter.source_offset, letter.attempt) == ("", -1, -1, 0)


@pytest.mark.parametrize("number", [b"", b"x", b"-1", b"1" * 5_000, b"\xff", "\u0661".encode()])
def test_a_header_that_is_not_a_number_is_ignored(number):
    letter = letter_of(record((("__weir.errors.offset", number), ("__weir.errors.attempt", number))))
    assert (letter.source_offset, letter.attempt) == (-1, 0)


@pytest.mark.parametrize("raw", [b"my name is Jo", b"\x1b[2J", b"x" * 129, b"jo@example.org", b"\xff"])
def test_a_header_that_does_not_look_like_an_id_is_hidden(raw):
    assert letter_of(record((("ce_correlationid", raw), ("ce_type", raw)))).request_id is None
    assert letter_of(record((("ce_correlationid", raw), ("ce_type", raw)))).event_type is None


@pytest.mark.parametrize(
    ("disposition", "key", "value", "there"),
    [
        ("oversize", None, b"", False),
        ("oversize", b"k", b"", True),
        ("oversize", None, b"x", True),
        ("decode", None, b"", True),
        ("decode", b"k", None, True),
    ],
)
def test_only_an_empty_oversize_letter_lacks_its_value(disposition, key, value, there):
    headers = (("__weir.errors.disposition", disposition.encode()),)
    assert letter_of(record(headers, key=key, value=value)).value_kept is there


def test_a_replay_note_is_not_a_letter():
    assert replay_note_of(record(kept())) is None
    assert replay_note_of(record(((REPLAYED, b"17"), ("__weir.errors.offset", b"99")))) == (17, 99)


def test_headers_that_weir_does_not_write_are_content():
    headers = (*kept(), ("x-user", b"Jo"), ("ce_prompt", b"Hello"), ("traceparent", b"00-ab"))
    hidden = {one.name: one.value for one in shown_headers(headers, content=False)}
    assert hidden["x-user"] is hidden["ce_prompt"] is None
    assert (hidden["ce_id"], hidden["traceparent"], hidden["__weir.errors.stage"]) == ("r1/request", "00-ab", "score")
    shown = {one.name: one.value for one in shown_headers(headers, content=True)}
    assert shown["x-user"] == "Jo"
    assert [one.size_bytes for one in shown_headers(headers, content=False) if one.name == "x-user"] == [2]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Grüße, 你好\n\tx".encode(), "Grüße, 你好\n\tx"),
        (b"\xff\x00garbage", "\\xff\\x00garbage"),
        (b"\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\u202eb".encode(), "a\\u202eb"),
        (b"\r", "\\r"),
    ],
)
def test_bytes_cannot_control_the_terminal(raw, text):
    assert escaped(raw) == text


def test_a_header_may_be_null():
    """Kafka allows null headers."""
    assert dict(kept(headers=(("__weir.errors.attempt", None),)))["__weir.errors.attempt"] == b"1"
    assert letter_of(record((("__weir.errors.stage", None),))).stage == ""
    (shown,) = shown_headers((("traceparent", None),), content=False)
    assert (shown.value, shown.size_bytes) == ("", 0)
