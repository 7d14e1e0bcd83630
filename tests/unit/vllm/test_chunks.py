"""Conversion of vLLM's output to chunks, without vLLM; tests/vllm tests it with vLLM."""

import json

import pytest

from serving.backend import RUNNING_USAGE, ModelRequest, RejectedRequest
from serving.openai_api.accumulator import Accumulator
from serving.openai_api.answer import RelayedAnswer
from serving.vllm.chunks import ChunkReader, join, rejected


def reader(**body):
    return ChunkReader(ModelRequest(request_id="r", operation="chat", body={"stream": True} | body))


def event(choices, **usage):
    chunk = {"id": "c", "choices": choices} | ({"usage": usage} if usage else {})
    return f"data: {json.dumps(chunk)}\n\n"


def delta(text, index=0, **more):
    return {
        "index": index,
        "delta": {"content": text},
        "logprobs": None,
        "finish_reason": None,
        "token_ids": None,
    } | more


def counted(text, index, tokens):
    return event([delta(text, index)], prompt_tokens=5, completion_tokens=tokens, total_tokens=5 + tokens)


def test_the_tokens_of_all_choices_are_added_up_and_hidden_from_the_client():
    read = reader()
    chunks = [read.read(item) for item in (counted("a", 0, 1), counted("b", 1, 2), counted("c", 0, 4))]
    assert [chunk[RUNNING_USAGE]["completion_tokens"] for chunk in chunks] == [1, 3, 6]
    assert not [chunk for chunk in chunks if "usage" in chunk]
    so_far, answer = Accumulator(), RelayedAnswer("r", "m", "chat", include_usage=True)
    for chunk in chunks:
        so_far.add(chunk)
        assert answer.chunk(chunk).keys() == {"id", "choices"}
    assert (so_far.usage.prompt_tokens, so_far.usage.completion_tokens) == (5, 6)


def test_a_client_that_requests_the_usage_of_each_chunk_gets_it():
    options = {"include_usage": True, "continuous_usage_stats": True}
    assert reader(stream_options=options).read(counted("a", 0, 1))["usage"]["completion_tokens"] == 1


def test_the_last_usage_is_exact_and_the_end_marker_is_no_chunk():
    read = reader()
    assert read.read(event([], prompt_tokens=9, completion_tokens=6))["usage"]["prompt_tokens"] == 9
    assert read.read("data: [DONE]\n\n") is None


def test_text_is_joined_without_loss():
    read = reader()
    parts = [read.read(counted(text, 0, number)) for number, text in enumerate("abc", 1)]
    last = read.read(event([delta("d", finish_reason="stop")], prompt_tokens=5, completion_tokens=4))
    (joined,) = join([*parts, last])
    assert joined["choices"] == [delta("abcd", finish_reason="stop")]
    assert joined[RUNNING_USAGE] == last[RUNNING_USAGE]


def test_the_role_and_reasoning_are_joined_too():
    first = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
    thought = {"choices": [{"index": 0, "delta": {"reasoning": "so"}}]}
    (joined,) = join([first, thought, thought])
    assert joined["choices"][0]["delta"] == {"role": "assistant", "content": "", "reasoning": "soso"}


@pytest.mark.parametrize(
    "other",
    [
        {"choices": [delta("b", 1)]},
        {"choices": [delta("b", logprobs={"content": [1]})]},
        {"choices": [delta("b", token_ids=[3])]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0}]}}]},
        {"choices": []},
        {"type": "response.created"},
        rejected({"code": 500}),
    ],
)
def test_chunks_with_more_than_text_are_not_joined(other):
    text = {"choices": [delta("a")]}
    assert join([text, other, text]) == [text, other, text]


def test_nothing_follows_a_finish_reason_in_the_same_chunk():
    ended = {"choices": [delta("a", finish_reason="stop")]}
    assert len(join([ended, {"choices": [delta("b")]}])) == 2


def test_plain_completions_are_joined():
    pieces = [{"choices": [{"index": 0, "text": text, "finish_reason": None}]} for text in "ab"]
    assert join(pieces)[0]["choices"][0]["text"] == "ab"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ({"code": 400, "message": "secret is bad", "param": "n"}, 400, "invalid_value"),
        (
            {"code": 400, "message": "This model's maximum context length is 9 tokens", "param": "n"},
            400,
            "context_length_exceeded",
        ),
        ({"code": 404, "message": "no such model", "param": "n"}, 404, "model_not_found"),
        ({"code": 503, "message": "busy", "param": "n"}, 503, "generation_failed"),
        ({"code": "x", "param": "n"}, 500, "generation_failed"),
        ({"code": 200, "param": "n"}, 500, "generation_failed"),
    ],
)
def test_an_error_is_a_rejection_whose_text_is_sent_only_to_the_client(error, status, code):
    found = reader().read({"error": error})
    assert isinstance(found, RejectedRequest)
    assert (found.status, found.code, found.param) == (status, code, "n")
    assert "secret" not in found.message
    assert found.body["error"]["message"] == error.get("message", "")
    assert found.body["error"]["code"] == code
