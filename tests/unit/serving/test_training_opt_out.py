"""The opt-out of training: `metadata.training` of a request is written to its record; a gateway accepts only "true" and "false"."""

import json

import pytest

from serving.backend import ModelInfo, ModelRequest
from serving.inference_records import ExpectedVerdicts, InferenceRequest, request_record
from serving.openai_api.chat import ChatRequest
from serving.openai_api.completions import CompletionRequest
from serving.openai_api.errors import ApiError
from serving.openai_api.open_request import OpenRequest
from serving.openai_api.request_model import parse

#: A parser of requests for each endpoint, and the fields that it needs.
PARSERS = {
    "chat": (lambda raw: parse(ChatRequest, raw), {"messages": [{"role": "user", "content": "x"}]}),
    "completion": (lambda raw: parse(CompletionRequest, raw), {"prompt": "x"}),
    "relayed": (lambda raw: OpenRequest.parse(raw, "responses"), {"input": "x"}),
}


@pytest.mark.parametrize(
    ("metadata", "training"),
    [
        ({"training": "false"}, False),
        ({"training": "False"}, False),
        ({"training": False}, False),
        ({"training": " false"}, False),
        ({"training": "no"}, False),
        ({"training": "0"}, False),
        ({"training": 0}, False),
        ({"training": "true"}, True),
        ({"training": " True "}, True),
        ({"training": True}, True),
        ({"training": ""}, True),
        ({"training": None}, True),
        ({"conversation_id": "c"}, True),
        (None, True),
        ("training=false", True),
    ],
)
def test_the_record_of_a_request_has_its_opt_out(metadata, training):
    request = ModelRequest(request_id="r", operation="chat", body={"messages": [], "metadata": metadata})
    info = ModelInfo(engine="echo", version="v", context_length=0)
    inference = InferenceRequest(tenant="t", principal="p", model="m", info=info, request=request)
    assert request_record(inference, ExpectedVerdicts()).training is training


def body_of(fields, metadata):
    return json.dumps({"model": "m", "metadata": metadata} | fields).encode()


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize(
    ("value", "shown"), [("no", "a string of 2 characters"), (" false", "a string of 6 characters")]
)
def test_a_gateway_rejects_another_word(parser, value, shown):
    parsed, fields = PARSERS[parser]
    with pytest.raises(ApiError) as error:
        parsed(body_of(fields, {"training": value}))
    assert (error.value.status, error.value.code, error.value.param) == (400, "invalid_value", "metadata.training")
    assert error.value.message == (
        f'metadata.training must be "true" or "false"; got {shown}. Send "false" to keep this request out of training.'
    )


@pytest.mark.parametrize("value", [False, 0, None, ["false"]])
def test_a_gateway_rejects_a_value_that_is_no_string_also_in_a_relayed_request(value):
    parsed, fields = PARSERS["relayed"]
    with pytest.raises(ApiError, match=r"metadata\.training must be"):
        parsed(body_of(fields, {"training": value}))


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("metadata", [{"training": "false"}, {"training": "true"}, {"a": "b"}, {}, None])
def test_a_gateway_accepts_both_words_and_metadata_without_the_field(parser, metadata):
    parsed, fields = PARSERS[parser]
    assert parsed(body_of(fields, metadata)).body().get("metadata") == metadata
