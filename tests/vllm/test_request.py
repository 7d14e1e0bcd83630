"""The errors of requests that vLLM's request models reject."""

import importlib

import pytest

from serving.backend import ModelRequest, RejectedRequest

MESSAGES = [{"role": "user", "content": "x"}]


def parsed(operation, body):
    # Imported here: it imports Ray, which reads its environment at import, and test_backend.py sets this environment first.
    parse = importlib.import_module("serving.vllm.vllm_request").parse
    return parse(ModelRequest(request_id="r", operation=operation, body={"model": "m"} | body))


@pytest.mark.parametrize(
    ("operation", "body", "param"),
    [
        ("embeddings", {}, "input"),
        ("embeddings", {"input": 5}, "input"),
        ("embeddings", {"input": "a", "encoding_format": "bas64"}, "encoding_format"),
        ("embeddings", {"input": "a", "dimensions": "x"}, "dimensions"),
        ("embeddings", {"messages": "x"}, "messages"),
        ("chat", {"messages": MESSAGES, "response_format": {"type": "xml"}}, "response_format.type"),
        ("chat", {"messages": MESSAGES, "stop": 5}, "stop"),
        ("chat", {"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ("responses", {"input": 5}, "input"),
        ("text_completion", {"prompt": {"a": 1}}, "prompt"),
    ],
)
def test_the_error_of_a_wrong_field_names_the_field_of_the_request(operation, body, param):
    rejection = parsed(operation, body)
    assert isinstance(rejection, RejectedRequest)
    assert (rejection.status, rejection.param, rejection.body["error"]["param"]) == (400, param, param)
    assert rejection.body["error"]["message"].startswith(f"{param}: ")


@pytest.mark.parametrize("body", [{"input": ["a", "b"]}, {"input": "a", "messages": None}, {"messages": MESSAGES}])
def test_both_kinds_of_embeddings_are_parsed(body):
    field, value = next(iter(body.items()))
    assert getattr(parsed("embeddings", body), field) == value
