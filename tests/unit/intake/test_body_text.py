import json

import pytest

from serving.errors import UnreadablePayload
from serving.intake.body_text import request_from, response_from_bytes
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
    request = request_from(body)
    assert (request.messages, request.prompt) == (messages, prompt)


def test_a_request_has_its_model_parameters_and_stream():
    body = {"model": "m", "stream": True, "temperature": 0.5, "max_tokens": 9, "seed": None, "tools": [], "prompt": "x"}
    request = request_from(body)
    assert (request.model, request.stream, request.operation) == ("m", True, "text_completion")
    assert request.parameters == {"temperature": 0.5, "max_tokens": 9, "seed": None}


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
def test_responses(body, text, finish, usage):
    raw = body if isinstance(body, str) else json.dumps(body)
    response = response_from_bytes(raw.encode())
    assert (response.text, response.finish_reason, response.usage, response.status) == (text, finish, usage, "complete")


@pytest.mark.parametrize(
    ("read", "body", "message"),
    [
        (request_from, [], "the body is a list; a request is a JSON object"),
        (request_from, {}, "the body has no fields; a request has messages"),
        (request_from, {"secret question": "x"}, "the fields secret question; a request has messages, prompt or input"),
        (response_from_bytes, b"<html>", "6 bytes are not JSON"),
        (response_from_bytes, b"3", "the body is a number"),
        (response_from_bytes, b'{"detail": "x"}', "the fields detail; a response has choices or output"),
        (response_from_bytes, b"data: 3\n\n", "an event of the stream is a number"),
        (response_from_bytes, b'data: {"choices"\n\n', "not JSON"),
        (response_from_bytes, b"[" * 100_000, "not JSON"),
    ],
)
def test_the_error_names_the_fields_and_the_supported_shapes(read, body, message):
    with pytest.raises(UnreadablePayload) as error:
        read(body)
    assert message in str(error.value)
