import json

import pytest

from serving.intake.body_text import answered_of, asked_of
from serving.intake.errors import Unreadable
from stream.wire import Message, Usage

HI = (Message(role="user", content="hi"),)


@pytest.mark.parametrize(
    ("body", "messages", "prompt"),
    [
        ({"messages": [{"role": "user", "content": "hi"}]}, HI, ""),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}, HI, ""),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, (), ""),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]},
            (Message(role="user", content="a\nb"),),
            "",
        ),
        (
            {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"function": {"arguments": "{}"}}]}]},
            (Message(role="assistant", content="{}"),),
            "",
        ),
        ({"prompt": "hi"}, (), "hi"),
        ({"prompt": ["hi", "ho"]}, (), "hi\nho"),
        ({"prompt": [1, 2, 3]}, (), ""),
        ({"input": "hi"}, HI, ""),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]}, HI, ""),
        ({"instances": ["hi", "ho"]}, (), "hi\nho"),
        ({"instances": [{"text": "hi", "id": 3}]}, (), "hi"),
        ({"instances": [[6.8, 2.8, 4.8, 1.4]]}, (), ""),
        ({"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["hi", "ho"]}]}, (), "hi\nho"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [0.5]}]}, (), ""),
    ],
)
def test_requests(body, messages, prompt):
    asked = asked_of(body)
    assert (asked.messages, asked.prompt) == (messages, prompt)


def test_a_request_says_which_model_how_and_whether_as_a_stream():
    body = {"model": "m", "stream": True, "temperature": 0.5, "max_tokens": 9, "seed": None, "tools": [], "prompt": "x"}
    asked = asked_of(body)
    assert (asked.model, asked.stream, asked.operation) == ("m", True, "text_completion")
    assert asked.parameters == {"temperature": 0.5, "max_tokens": 9, "seed": None}


CHUNKS = [
    {"model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
    {"model": "m", "choices": [{"index": 0, "delta": {"content": "Grü"}, "finish_reason": None}]},
    {"model": "m", "choices": [{"index": 0, "delta": {"content": "ße"}, "finish_reason": None}]},
    {"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"model": "m", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
]
STREAM = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in CHUNKS) + "data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("body", "text", "finish", "usage"),
    [
        ({"choices": [{"message": {"content": "ho"}, "finish_reason": "stop"}]}, "ho", "stop", Usage()),
        ({"choices": [{"message": {"content": None, "refusal": "no"}}]}, "no", None, Usage()),
        ({"choices": [{"text": "a"}, {"text": "b"}]}, "a\nb", None, Usage()),
        (
            {"choices": [{"message": {"content": None, "tool_calls": [{"function": {"arguments": '{"to":1}'}}]}}]},
            '{"to":1}',
            None,
            Usage(),
        ),
        (
            {
                "output": [{"type": "message", "content": [{"type": "output_text", "text": "ho"}]}],
                "usage": {"input_tokens": 4, "output_tokens": 1},
            },
            "ho",
            None,
            Usage(prompt_tokens=4, completion_tokens=1),
        ),
        ({"content": [{"type": "text", "text": "ho"}]}, "ho", None, Usage()),
        ({"object": "list", "data": [{"embedding": [0.1]}]}, "", None, Usage()),
        ({"predictions": ["ho", {"generated_text": "hu"}]}, "ho\nhu", None, Usage()),
        ({"predictions": [1, 1]}, "", None, Usage()),
        ({"outputs": [{"name": "o", "datatype": "BYTES", "shape": [1], "data": ["ho"]}]}, "ho", None, Usage()),
        (STREAM, "Grüße", "stop", Usage(prompt_tokens=3, completion_tokens=2)),
    ],
)
def test_answers(body, text, finish, usage):
    raw = body if isinstance(body, str) else json.dumps(body)
    answered = answered_of(raw.encode())
    assert (answered.text, answered.finish_reason, answered.usage, answered.status) == (text, finish, usage, "complete")


@pytest.mark.parametrize(
    ("read", "body", "told"),
    [
        (asked_of, [], "the body is a list; a request is a JSON object"),
        (asked_of, {}, "the body has no fields; a request has messages"),
        (asked_of, {"secret question": "x"}, "the fields secret question; a request has messages, prompt or input"),
        (answered_of, b"<html>", "6 bytes are no JSON text"),
        (answered_of, b"3", "the body is a number"),
        (answered_of, b'{"detail": "x"}', "the fields detail; an answer has choices or output"),
        (answered_of, b"data: 3\n\n", "an event of the stream is a number"),
        (answered_of, b'data: {"choices"\n\n', "no JSON text"),
        (answered_of, b"[" * 100_000, "no JSON text"),
    ],
)
def test_what_cannot_be_read_says_what_it_has_and_what_it_may_have(read, body, told):
    with pytest.raises(Unreadable) as error:
        read(body)
    assert told in str(error.value)
