import json

import pytest
from support.cases import cases

from serving.errors import UnreadablePayload
from serving.intake.body_text import request_from, response_from_bytes
from stream.wire import Message, Usage

CASES = cases(__file__)


@pytest.mark.parametrize(("body", "messages", "prompt"), CASES["requests"])
def test_requests(body, messages, prompt):
    request = request_from(body)
    assert request.messages == tuple(Message(role=role, content=content) for role, content in messages)
    assert request.prompt == prompt


def test_a_request_has_its_model_parameters_and_stream():
    body = {"model": "m", "stream": True, "temperature": 0.5, "max_tokens": 9, "seed": None, "tools": [], "prompt": "x"}
    request = request_from(body)
    assert (request.model, request.stream, request.operation) == ("m", True, "text_completion")
    assert request.parameters == {"temperature": 0.5, "max_tokens": 9, "seed": None}


def check(raw, text, finish, prompt_tokens, completion_tokens):
    response = response_from_bytes(raw.encode())
    assert (response.text, response.finish_reason, response.status) == (text, finish, "complete")
    assert response.usage == Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)


@pytest.mark.parametrize(("body", "text", "finish", "tokens"), CASES["responses"])
def test_responses(body, text, finish, tokens):
    check(json.dumps(body), text, finish, *tokens)


def test_a_streamed_response():
    chunks = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in CASES["stream"])
    check(f"{chunks}data: [DONE]\n\n", "Grüße", "stop", 3, 2)


@pytest.mark.parametrize(("body", "message"), CASES["bad_requests"])
def test_an_unreadable_request_is_an_error_that_names_the_fields_and_the_supported_shapes(body, message):
    with pytest.raises(UnreadablePayload) as error:
        request_from(body)
    assert message in str(error.value)


@pytest.mark.parametrize(("body", "message"), [*CASES["bad_responses"], ("[" * 100_000, "not JSON")])
def test_an_unreadable_response_is_an_error_that_names_the_fields_and_the_supported_shapes(body, message):
    with pytest.raises(UnreadablePayload) as error:
        response_from_bytes(body.encode())
    assert message in str(error.value)
