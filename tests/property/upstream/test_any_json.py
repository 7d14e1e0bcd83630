"""Any JSON object from a client or from an upstream server can be relayed and recorded."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.backend import ModelInfo, ModelRequest
from serving.inference_records import (
    ExpectedVerdicts,
    InferenceRequest,
    request_attributes,
    request_record,
    response_record,
)
from serving.openai_api.answer import RelayedAnswer
from serving.openai_api.open_request import OpenRequest
from stream.wire import ErrorInfo

KEYS = [
    *(
        "messages",
        "role",
        "content",
        "parts",
        "type",
        "text",
        "name",
        "tool_calls",
        "function",
        "arguments",
        "id",
        "refusal",
    ),
    *(
        "prompt",
        "input",
        "instructions",
        "tools",
        "parameters",
        "temperature",
        "max_tokens",
        "seed",
        "metadata",
        "image_url",
    ),
    *(
        "choices",
        "index",
        "delta",
        "message",
        "finish_reason",
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "logprobs",
    ),
    *(
        "response",
        "output",
        "status",
        "object",
        "item",
        "output_index",
        "model",
        "error",
        "incomplete_details",
        "reason",
    ),
    *("reasoning_content", "summary", "audio", "data", "url", "input_tokens"),
]
WORDS = [
    *(
        "user",
        "tool",
        "text",
        "message",
        "function_call",
        "function_call_output",
        "response",
        "response.completed",
        "reasoning",
    ),
    *(
        "response.output_text.delta",
        "response.function_call_arguments.delta",
        "response.output_item.added",
        "response.output_item.done",
        "mcp_call",
        "failed",
        "input_image",
    ),
]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 2**53, 2**63, 2**64, 10**30, 0.5, 1e300, "", "data:,x", *WORDS]),
)
KEY = st.sampled_from(KEYS)


def nested(children):
    return st.one_of(st.lists(children, max_size=3), st.dictionaries(KEY, children, max_size=5))


OBJECTS = st.dictionaries(KEY, st.recursive(LEAVES, nested, max_leaves=20), max_size=8)
OPERATIONS = st.sampled_from(["chat", "text_completion", "embeddings", "responses"])


@settings(max_examples=300)
@given(OBJECTS, OPERATIONS, st.lists(OBJECTS, max_size=4))
def test_a_request_and_its_answer_are_relayed_and_recorded(body, operation, chunks):
    request = OpenRequest.parse(msgspec.json.encode(body | {"model": "m"}), operation)
    inference = InferenceRequest(
        tenant="t",
        principal="p",
        conversation=request.conversation,
        model="m",
        info=ModelInfo(engine="upstream", version="v", context_length=0),
        request=ModelRequest(request_id="r", operation=operation, body=request.body()),
    )
    expected = ExpectedVerdicts(input=("pii",), output=("pii",), context_characters=10)
    answer = RelayedAnswer("r", "m", operation, include_usage=request.include_usage)
    so_far = answer.accumulator()
    for chunk in chunks:
        so_far.add(chunk)
        msgspec.json.encode(answer.chunk(chunk))
        answer.event_name(chunk)
    msgspec.json.encode(answer.whole(so_far))
    asked = request_record(inference, expected)
    end = response_record(
        inference,
        asked,
        expected,
        status="error",
        error=ErrorInfo(kind="x"),
        choices=so_far.recorded(),
        usage=so_far.usage,
        latency_seconds=0.0,
        first_token_seconds=None,
    )
    for record in (asked, end):
        assert msgspec.json.decode(msgspec.json.encode(record), type=type(record)) == record
    assert all(len(reason) <= 32 for reason in so_far.finish_reasons)
    request_attributes(inference, "topic")
