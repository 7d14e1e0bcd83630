"""Shortening of a record that is too large for Kafka: it loses a part of its text and states the share that is left."""

import random
from itertools import pairwise

import msgspec
import pytest
from support.events import a_request, an_end
from support.spool import Spool, events_of

from serving.capture.shortened_record import shortened
from serving.capture.spool_layout import MAX_RECORD_BYTES
from stream.wire import (
    BlobPart,
    Choice,
    Message,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolDefinition,
    ToolResponsePart,
    encode,
)

ALPHABETS = ["a", '"\\\n', "\u00e9\u4e2d\U0001f600", "ab \x01"]


def size(record):
    return len(msgspec.json.encode(record))


def a_text(chance, longest=400):
    alphabet = chance.choice(ALPHABETS)
    return "".join(chance.choice(alphabet) for _ in range(chance.randrange(longest)))


def a_part(chance):
    text = a_text(chance)
    return chance.choice(
        [
            TextPart(content=text),
            ReasoningPart(content=text),
            ToolCallPart(name="f", arguments=text, id="c1"),
            ToolResponsePart(response=text, id="c1"),
            BlobPart(modality="image", digest="d" * 64, size=3),
        ]
    )


def characters(record):
    return sum(len(part.text) for _, _, part in record.located_parts())


@pytest.mark.parametrize("seed", range(60))
def test_a_shortened_record_fits_and_states_the_share_of_its_text(seed):
    chance = random.Random(seed)
    parts = [[a_part(chance) for _ in range(chance.randrange(4))] for _ in range(6)]
    tools = tuple(ToolDefinition(name=f"t{n}", description=a_text(chance, 80)) for n in range(3))
    request = a_request("r", messages=tuple(Message(role="user", parts=tuple(one)) for one in parts), tools=tools)
    end = an_end("r", messages=tuple(Choice(parts=tuple(one)) for one in parts), context=request.messages[:2])
    for record in (request, end):
        bare = {"messages": (), "tools" if record is request else "context": ()}
        least = size(msgspec.structs.replace(record, **bare)) + 60
        for limit in sorted(chance.randrange(least, size(record) + 100) for _ in range(8)):
            short = shortened(record, limit)
            assert size(short) <= limit
            assert short.recorded == pytest.approx(characters(short) / max(1, characters(record)))
            assert (short.request_id, short.owed) == (record.request_id, record.owed)


@pytest.mark.parametrize("text", ["x" * 3000, '"' * 3000, "\U0001f600" * 3000, "\n\u00e9" * 1500])
def test_as_much_of_a_text_as_fits_is_kept_from_its_beginning(text):
    record = an_end("r", text)
    sizes = [(limit, characters(shortened(record, limit))) for limit in range(300, 420)]
    for (limit, count), (_, more) in pairwise(sizes):
        assert 0 <= more - count <= 1
        assert text.startswith(shortened(record, limit).text)
    assert sizes[-1][1] > sizes[0][1] > 0


def test_a_request_keeps_its_newest_messages_and_an_answer_its_first_choice():
    texts = [f"{number} " + "x" * 500 for number in range(10)]
    request = a_request("r", messages=tuple(Message.of_text("user", text) for text in texts))
    short = shortened(request, 1500)
    assert [message.text[0] for message in short.messages] == ["8", "9"] or [
        message.text[0] for message in short.messages
    ] == ["7", "8", "9"]
    assert short.messages[-1].text == texts[-1]
    end = an_end("r", messages=tuple(Choice(parts=(TextPart(content=text),)) for text in texts))
    assert shortened(end, 1500).messages[0].text == texts[0]


def test_tools_are_left_out_before_text():
    tools = tuple(ToolDefinition(name=f"t{number}", description="d" * 200) for number in range(10))
    request = a_request("r", "x" * 500, tools=tools)
    short = shortened(request, 1500)
    assert (short.text, short.recorded) == ("x" * 500, 1.0)
    assert short.tools == tools[: len(short.tools)]
    assert 0 < len(short.tools) < 10


@pytest.mark.parametrize("status", ["complete", "cancelled", "aborted"])
def test_a_request_and_an_end_that_are_too_large_for_a_broker_are_shortened(tmp_path, status):
    spool = Spool(tmp_path / "spool")
    spool.request("r", "begin " + "x" * 2_000_000)
    spool.writer.end(an_end("r", "begin " + '"' * 1_500_000, status=status))
    request, end = events_of(spool.directory)
    assert request.data.recorded == pytest.approx(0.5, abs=0.01)
    assert end.data.recorded == pytest.approx(1 / 3, abs=0.01)
    for event in (request, end):
        assert MAX_RECORD_BYTES - 2000 < len(encode(event).value) <= MAX_RECORD_BYTES
        assert event.data.text.startswith("begin ")
        assert event.data.owed == ("pii",)
    assert not (spool.root / "aside").exists()
    spool.kill()


def test_a_record_that_was_not_shortened_has_no_field_recorded(tmp_path):
    spool = Spool(tmp_path / "spool")
    spool.request("r")
    spool.end("r")
    assert all(b"recorded" not in encode(event).value for event in events_of(spool.directory))
    spool.kill()
