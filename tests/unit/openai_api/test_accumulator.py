"""The answer that the chunks of any engine build."""

import pytest

from serving.openai_api.accumulator import Accumulator
from stream.wire import MAX_COUNT, Choice, ReasoningPart, TextPart, ToolCallPart, Usage


def accumulated(*chunks) -> Accumulator:
    answer = Accumulator()
    for chunk in chunks:
        answer.add(chunk)
    return answer


def delta(index=0, finish_reason=None, **fields):
    return {"choices": [{"index": index, "delta": fields, "finish_reason": finish_reason}]}


def test_text_of_several_choices_is_kept_apart():
    answer = accumulated(
        delta(0, role="assistant", content="a"),
        delta(1, content="x"),
        delta(0, "stop", content="b"),
        delta(1, "length"),
    )
    assert [choice.text for choice in answer.recorded()] == ["ab", "x"]
    assert answer.finish_reasons == ["stop", "length"]
    assert [choice["message"]["content"] for choice in answer.chat_choices()] == ["ab", "x"]


def test_it_is_finished_when_every_choice_is():
    assert not accumulated().finished
    assert not accumulated(delta(0, "stop"), delta(1, content="x")).finished
    assert accumulated(delta(0, "stop"), delta(1, "stop")).finished


def test_tool_calls_are_joined_by_their_index():
    calls = [
        [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}],
        [{"index": 1, "id": "c2", "function": {"name": "g", "arguments": ""}}],
        [{"index": 0, "function": {"arguments": ":1}"}}],
    ]
    answer = accumulated(*(delta(tool_calls=call) for call in calls), delta(finish_reason="tool_calls"))
    (choice,) = answer.recorded()
    assert choice.parts == (ToolCallPart(id="c1", name="f", arguments='{"a":1}'), ToolCallPart(id="c2", name="g"))
    (whole,) = answer.chat_choices()
    assert whole["message"]["content"] is None
    assert whole["message"]["tool_calls"][0] == {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": '{"a":1}'},
    }


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_comes_before_the_text(name):
    answer = accumulated(delta(**{name: "be"}), delta(**{name: "cause"}), delta(content="so"))
    assert answer.recorded() == (Choice(parts=(ReasoningPart(content="because"), TextPart(content="so"))),)


def test_a_whole_response_is_one_chunk():
    message = {"role": "assistant", "content": "hi", "function_call": {"name": "f", "arguments": "{}"}}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    answer = accumulated({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage})
    assert answer.recorded()[0].parts == (TextPart(content="hi"), ToolCallPart(name="f", arguments="{}"))
    assert answer.usage == Usage(prompt_tokens=3, completion_tokens=2)


def test_logprobs_of_all_chunks_are_joined():
    one = {"content": [{"token": "a"}], "refusal": None}
    chunk = {"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": one, "finish_reason": None}]}
    (whole,) = accumulated(chunk, chunk).chat_choices()
    assert whole["logprobs"] == {"content": [{"token": "a"}, {"token": "a"}], "refusal": None}


@pytest.mark.parametrize(
    "garbage",
    [
        {},
        {"choices": None},
        {"choices": [None, 3, "x"]},
        {"choices": [{"index": "0", "delta": {"content": "x"}}]},
        {"choices": [{"index": -1, "delta": {"content": "x"}}]},
        {"choices": [{"index": 2**70, "delta": {"content": "x"}}]},
        {"usage": []},
    ],
)
def test_what_does_not_fit_the_format_is_ignored(garbage):
    assert accumulated(garbage).recorded() == ()


@pytest.mark.parametrize(
    "fields", [{"content": 3}, {"content": None}, {"tool_calls": "x"}, {"tool_calls": [{"index": "a"}]}]
)
def test_a_field_of_a_wrong_type_is_ignored(fields):
    assert accumulated(delta(**fields)).recorded() == (Choice(),)


@pytest.mark.parametrize("number", [MAX_COUNT + 1, 2**63, -1, 1.5, "3", None, True])
def test_a_count_that_no_record_can_contain_is_0_and_noticed(number):
    answer = accumulated({"usage": {"prompt_tokens": number, "completion_tokens": 2}})
    assert answer.usage == Usage(completion_tokens=2)
    assert answer.invalid_counts
