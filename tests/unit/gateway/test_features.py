"""The check that an engine supports the fields of a request, and the remedy in its error."""

import pytest

from serving.backend import ModelInfo
from serving.gateway.models import check_features
from serving.openai_api.chat import ChatRequest
from serving.openai_api.completions import CompletionRequest
from serving.openai_api.errors import ApiError

_TOOL = {"type": "function", "function": {"name": "count_people", "parameters": {"type": "object"}}}
_CHAT = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [_TOOL]}


def _engine(*features):
    return ModelInfo(engine="openvino", version="v", context_length=8, features=frozenset(features))


@pytest.mark.parametrize(
    ("choice", "supported"),
    [
        (None, False),
        ("auto", False),
        ("none", True),
        ("required", True),
        (_TOOL | {"function": {"name": "count_people"}}, True),
    ],
    ids=str,
)
def test_a_schema_that_would_prevent_tool_calls_is_400(choice, supported):
    info = _engine("tools", "json_schema")
    fields = {"tool_choice": choice, "response_format": {"type": "json_object"}}
    request = ChatRequest.model_validate(_CHAT | fields)
    if supported:
        check_features(request.features(), info)
        return
    with pytest.raises(ApiError, match=r"engine 'openvino'.*set tool_choice") as raised:
        check_features(request.features(), info)
    assert (raised.value.status, raised.value.param) == (400, "response_format")


@pytest.mark.parametrize(
    ("request_", "features", "remedy"),
    [
        (ChatRequest.model_validate(_CHAT), ["json_schema"], "set tool_choice to 'required'"),
        (ChatRequest.model_validate(_CHAT), [], "with this model; leave it out."),
        (CompletionRequest(model="m", prompt="x", logprobs=2), ["logprobs"], "logprobs 1 in /v1/completions"),
        (CompletionRequest(model="m", prompt="x", logprobs=2), [], "with this model; leave it out."),
    ],
)
def test_a_remedy_that_the_engine_does_not_support_is_not_named(request_, features, remedy):
    with pytest.raises(ApiError) as raised:
        check_features(request_.features(), _engine(*features))
    assert remedy in raised.value.message
