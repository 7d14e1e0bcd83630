"""The accumulator, which builds an answer from the chunks of any engine."""

import tracemalloc

import pytest

from serving.backend import RUNNING_USAGE
from serving.openai_api import responses_accumulator
from serving.openai_api.accumulator import REASONING, TEXT, Accumulator, NewText, call_part
from serving.openai_api.answer import RelayedAnswer
from serving.openai_api.parts import choices_from
from serving.openai_api.responses_accumulator import ResponsesAccumulator
from stream.wire import MAX_COUNT, Choice, ReasoningPart, TextPart, ToolCallPart, ToolResponsePart, Usage


def accumulated(*chunks) -> Accumulator:
    answer = Accumulator()
    for chunk in chunks:
        answer.add(chunk)
    return answer


def delta(index=0, finish_reason=None, **fields):
    return {"choices": [{"index": index, "delta": fields, "finish_reason": finish_reason}]}


def test_texts_of_several_choices_are_separate():
    answer = accumulated(
        delta(0, role="assistant", content="a"),
        delta(1, content="x"),
        delta(0, "stop", content="b"),
        delta(1, "length"),
    )
    assert [choice.text for choice in answer.recorded()] == ["ab", "x"]
    assert answer.finish_reasons == ["stop", "length"]
    assert [choice["message"]["content"] for choice in answer.chat_choices()] == ["ab", "x"]


@pytest.mark.parametrize("index", [{}, {"index": None}, {"index": 0}])
@pytest.mark.parametrize("kind", ["message", "text"])
def test_whole_choices_without_distinct_indexes_are_numbered_by_position(kind, index):
    texts = ["call 030", "123456"]
    contents = [{"message": {"content": text}} if kind == "message" else {"text": text} for text in texts]
    reasons = ["stop", "length"]
    choices = [index | content | {"finish_reason": end} for content, end in zip(contents, reasons, strict=True)]
    answer = accumulated({"choices": choices})
    assert [(choice.text, choice.finish_reason) for choice in answer.recorded()] == list(
        zip(texts, reasons, strict=True)
    )
    answer.stop(found=[1])
    assert answer.finish_reasons == ["content_filter"] * 2


def test_pieces_of_one_choice_in_a_chunk_are_joined_and_whole_choices_are_not():
    for kind, texts in (("delta", ["ab"]), ("message", ["a", "b"])):
        answer = accumulated({"choices": [{"index": 0, kind: {"content": text}} for text in ("a", "b")]})
        assert [choice.text for choice in answer.recorded()] == texts


def test_an_answer_is_finished_if_every_choice_is():
    assert not accumulated().finished
    assert not accumulated(delta(0, "stop"), delta(1, content="x")).finished
    assert not accumulated(delta(0, "", content="x")).finished
    assert accumulated(delta(0, "stop"), delta(1, "stop")).finished


def test_the_first_id_the_finish_reasons_and_the_stopped_choices_of_an_answer():
    assert accumulated().filtered == [0]
    chunks = ({"id": "not an id"}, {"id": "c1"}, {"id": "c2"}, delta(0, "stop"), delta(1, content="a"))
    answer = accumulated(*chunks, delta(2, "some text"), delta(3, "content_filter"))
    assert (answer.response_id, answer.stopped, answer.filtered) == ("c1", False, [3])
    assert answer.finish_reasons == ["stop", "content_filter"]
    answer.stop()
    assert (answer.stopped, answer.filtered) == (True, [1, 3])


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


def test_the_input_of_a_custom_tool_is_new_text_and_recorded():
    call = {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "DROP TABLE x"}}
    begun = call | {"index": 0, "custom": {"name": "sql", "input": "DROP "}}
    streamed = accumulated(delta(tool_calls=[begun]))
    new = streamed.add(delta(0, "tool_calls", tool_calls=[{"index": 0, "custom": {"input": "TABLE x"}}]))
    assert new == [NewText(0, "TABLE x", call_part(0))]
    for answer in (streamed, accumulated({"choices": [{"index": 0, "message": {"tool_calls": [call]}}]})):
        assert answer.recorded()[0].parts == (ToolCallPart(id="c1", name="sql", arguments="DROP TABLE x"),)
        assert answer.chat_choices()[0]["message"]["tool_calls"] == [call]


@pytest.mark.parametrize("kind", ["delta", "message"])
@pytest.mark.parametrize("called", [{"function": {"arguments": {"a": 1}}}, {"custom": {"input": {"a": 1}}}], ids=str)
def test_arguments_that_are_an_object_are_new_text_and_recorded_as_json(kind, called):
    answer = Accumulator()
    assert answer.add({"choices": [{kind: {"tool_calls": [called]}}]}) == [NewText(0, '{"a":1}', call_part(0))]
    assert answer.recorded()[0].parts == (ToolCallPart(name="", arguments='{"a":1}'),)


@pytest.mark.parametrize("index", [{}, {"index": None}], ids=["missing", "null"])
def test_tool_calls_without_an_index_are_separated_by_their_ids(index):
    first = index | {"id": "c1", "function": {"name": "f", "arguments": '{"a"'}}
    rest = index | {"function": {"arguments": ":1}"}}
    second = index | {"id": "c2", "function": {"name": "g", "arguments": "{}"}}
    answer = accumulated(
        *(delta(tool_calls=[call]) for call in (first, rest, second)), delta(tool_calls=[first, second])
    )
    (choice,) = answer.recorded()
    assert [(part.id, part.name) for part in choice.parts] == [("c1", "ff"), ("c2", "gg")]
    assert choice.parts[0].arguments.startswith('{"a":1}')
    last = accumulated(
        *(delta(tool_calls=[call]) for call in (first, rest, second | {"function": {"name": "g", "arguments": "{"}}))
    )
    last.add(delta(tool_calls=[index | {"function": {"arguments": "}"}}]))
    assert [part.arguments for part in last.recorded()[0].parts] == ['{"a":1}', "{}"]


def test_parallel_calls_with_the_same_index_are_separated_by_their_ids():
    first = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}}
    second = {"index": 0, "id": "c2", "function": {"name": "f", "arguments": '{"a"'}}
    rest = {"index": 0, "function": {"arguments": ":1}"}}
    third = {"index": 1, "id": "c3", "function": {"name": "g", "arguments": "{}"}}
    answer = accumulated(*(delta(tool_calls=[call]) for call in (first, second, rest, third)))
    assert [(part.id, part.name, part.arguments) for part in answer.recorded()[0].parts] == [
        ("c1", "f", "{}"),
        ("c2", "f", '{"a":1}'),
        ("c3", "g", "{}"),
    ]


def test_a_server_may_send_another_id_with_each_piece_of_a_call():
    first = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a"'}}
    answer = accumulated(
        *(delta(tool_calls=[call]) for call in (first, {"index": 0, "id": "c2", "function": {"arguments": ":1}"}}))
    )
    assert [part.arguments for part in answer.recorded()[0].parts] == ['{"a":1}']


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_recorded_before_the_text(name):
    answer = accumulated(delta(**{name: "be"}), delta(**{name: "cause"}), delta(content="so"))
    assert answer.recorded() == (Choice(parts=(ReasoningPart(content="because"), TextPart(content="so"))),)


def test_a_whole_response_is_one_chunk():
    message = {"role": "assistant", "content": "hi", "function_call": {"name": "f", "arguments": "{}"}}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    answer = accumulated({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage})
    assert answer.recorded()[0].parts == (TextPart(content="hi"), ToolCallPart(name="f", arguments="{}"))
    assert answer.usage == Usage(prompt_tokens=3, completion_tokens=2)


@pytest.mark.parametrize("fields", [{"object": "response"}, {}], ids=["with an object", "without an object"])
def test_a_whole_response_of_the_responses_api_is_new_and_recorded(fields):
    answer = ResponsesAccumulator()
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "so"}]}]
    assert answer.add({"status": "completed", "output": output} | fields) == [NewText(0, "so")]
    assert answer.recorded() == (Choice(parts=(TextPart(content="so"),), finish_reason="stop"),)


@pytest.mark.parametrize("kind", ["delta", "message"])
@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"content": [{"type": "text", "text": "a "}, {"type": "output_text", "text": "b"}, "c", 3, {"text": 4}]},
            "a bc",
        ),
        ({"content": None, "audio": {"id": "x", "data": "AAAA", "transcript": "said"}}, "said"),
        ({"content": "a", "refusal": "b", "audio": {"transcript": "c"}}, "abc"),
        ({"content": {}, "audio": "x"}, ""),
        ({"content": {"type": "text", "text": "a"}}, "a"),
    ],
)
def test_all_texts_of_a_message_are_new_and_recorded(kind, fields, text):
    answer = Accumulator()
    new = answer.add({"choices": [{"index": 0, kind: fields}]})
    assert new == ([NewText(0, text)] if text else [])
    assert "".join(choice.text for choice in answer.recorded()).replace("\n", "") == text
    answer.cut(0, TEXT, 2)
    assert "".join(choice.text for choice in answer.recorded()) == text[:2]


def test_each_part_of_a_choice_has_its_new_text():
    answer = Accumulator()
    calls = [{"index": 1, "function": {"name": "g", "arguments": "{}"}}, {"index": 0, "function": {"name": "f"}}]
    new = answer.add(delta(2, reasoning="hm", content="so", tool_calls=calls))
    assert new == [NewText(2, "hm", REASONING), NewText(2, "so", TEXT), NewText(2, "{}", call_part(1))]


@pytest.mark.parametrize(
    ("part", "parts"),
    [
        (TEXT, (ReasoningPart(content="hmm"), TextPart(content="s"))),
        (REASONING, (ReasoningPart(content="h"),)),
        (call_part(0), (ReasoningPart(content="hmm"), TextPart(content="so"))),
    ],
)
def test_a_cut_keeps_the_parts_before_it_and_no_call(part, parts):
    call = {"index": 0, "function": {"name": "f", "arguments": "{}"}}
    answer = accumulated(delta(reasoning="hmm", content="so", tool_calls=[call]))
    answer.cut(0, part, 1)
    assert answer.recorded()[0].parts == parts


@pytest.mark.parametrize("thinking", ["hm", [{"type": "text", "text": "hm"}]])
def test_the_thinking_in_a_list_of_parts_is_new_reasoning(thinking):
    new = Accumulator().add(delta(content=[{"type": "thinking", "thinking": thinking}]))
    assert [(text.part, text.text) for text in new] == [("reasoning", "hm")]


def test_reasoning_parts_are_no_text():
    parts = [{"type": "reasoning", "content": "hm"}, {"type": "text", "text": "so"}]
    assert accumulated(delta(content=parts)).recorded()[0].parts == (
        ReasoningPart(content="hm"),
        TextPart(content="so"),
    )


def test_choices_beyond_2048_and_calls_beyond_128_are_ignored_and_counted():
    answer = accumulated(*(delta(index, content="a") for index in range(2050)), delta(3, content="b"))
    assert len(answer.recorded()) == 2048
    assert answer.recorded()[3].text == "ab"
    calls = [{"index": index, "function": {"name": "f"}} for index in range(131)]
    answer.add(delta(tool_calls=calls))
    assert len(answer.recorded()[0].parts) == 1 + 128
    assert answer.ignored == 2 + 3


def test_logprobs_of_all_chunks_are_joined():
    one = {"content": [{"token": "a"}], "refusal": None}
    chunk = {"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": one, "finish_reason": None}]}
    (whole,) = accumulated(chunk, chunk).chat_choices()
    assert whole["logprobs"] == {"content": [{"token": "a"}, {"token": "a"}], "refusal": None}


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ({"logprobs": {"content": [None] * 100_000}}, {"logprobs": {"content": [None]}}),
        (
            {"delta": {"tool_calls": [{"function": {"name": "a" * 800_000}}]}},
            {"delta": {"tool_calls": [{"function": {"name": "a"}}]}},
        ),
    ],
    ids=["logprobs", "name of a tool"],
)
def test_a_chunk_does_not_copy_the_answer_so_far(long, short):
    """A copy for each chunk takes quadratic time: minutes for a stream of 4 MiB."""
    tracemalloc.start()
    answer = accumulated({"choices": [long]}, {"choices": [short]})
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    answer.add({"choices": [short]})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - before < 400_000


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
def test_chunks_that_do_not_fit_the_format_are_ignored(garbage):
    assert accumulated(garbage).recorded() == ()


@pytest.mark.parametrize(
    "fields", [{"content": 3}, {"content": None}, {"tool_calls": "x"}, {"tool_calls": [{"index": "a"}]}]
)
def test_a_field_of_a_wrong_type_is_ignored(fields):
    assert accumulated(delta(**fields)).recorded() == (Choice(),)


@pytest.mark.parametrize("number", [MAX_COUNT + 1, 2**63, 10**400, -1, 1.5, float("nan"), "3", None, True])
def test_a_count_that_no_record_can_contain_is_0_and_marked(number):
    answer = accumulated({"usage": {"prompt_tokens": number, "completion_tokens": 2}})
    assert answer.usage == Usage(completion_tokens=2)
    assert answer.invalid_counts


def test_the_end_of_a_stopped_stream_has_no_internal_field():
    answer = RelayedAnswer("r", "echo", "chat", include_usage=False)
    so_far = answer.accumulator()
    so_far.add(delta(content="a") | {RUNNING_USAGE: {"completion_tokens": 1}})
    assert answer.stopped_chunk(so_far).keys() == {"choices"}


def item_done(item, index=0):
    return {"type": "response.output_item.done", "output_index": index, "item": item}


NO_OUTPUT = {"type": "response.completed", "response": {"object": "response", "status": "completed", "output": []}}
LOGS = [{"type": "logs", "logs": "jane@example.com"}]
ITEMS = {
    "mcp": {"type": "mcp_call", "id": "m", "name": "crm", "arguments": "{}", "output": "Jane"},
    "code": {"type": "code_interpreter_call", "id": "i", "code": "print(1)", "outputs": LOGS},
    "files": {"type": "file_search_call", "id": "f", "queries": ["a"], "results": [{"file_id": "f", "text": "secret"}]},
    "shell": {"type": "shell_call_output", "call_id": "s", "output": [{"stdout": "root", "stderr": ""}]},
    "image": {"type": "image_generation_call", "id": "g", "result": "QUJD"},
    "reasoning": {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "hm"}]},
}


@pytest.mark.parametrize("last", [[], [NO_OUTPUT]], ids=["no last event", "a last event without output"])
@pytest.mark.parametrize("item", ITEMS.values(), ids=ITEMS)
def test_what_a_response_stream_sends_only_as_a_whole_item_is_recorded_once(item, last):
    answer = ResponsesAccumulator()
    for event in (item_done(item, 3), item_done(item, 3), *last):
        answer.add(event)
    (whole,), (recorded,) = choices_from({"output": [item]}), answer.recorded()
    assert recorded.parts == whole.parts


def test_the_results_of_two_calls_are_recorded_after_the_text():
    answer = ResponsesAccumulator()
    for event in (item_done(ITEMS["shell"]), item_done(ITEMS["shell"] | {"call_id": "t"})):
        answer.add(event)
    answer.add({"type": "response.output_text.delta", "output_index": 2, "delta": "done"})
    text, *results = answer.recorded()[0].parts
    assert (text, [part.id for part in results]) == (TextPart(content="done"), ["s", "t"])
    assert all(isinstance(part, ToolResponsePart) for part in results)


def test_reasoning_of_a_whole_item_is_new_unless_deltas_contained_it():
    delta = {"type": "response.reasoning_text.delta", "output_index": 0, "delta": "hm"}
    answer = ResponsesAccumulator()
    new = [answer.add(event) for event in (delta, item_done(ITEMS["reasoning"]), item_done(ITEMS["reasoning"], 1))]
    assert new == [[NewText(0, "hm", REASONING)], [], [NewText(0, "hm", REASONING)]]


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1)], ids=["before the last event", "after the last event"])
def test_text_that_the_last_event_does_not_repeat_is_recorded(order):
    said, text = {"type": "response.output_text.delta", "output_index": 1}, {"type": "output_text", "text": "so"}
    response = {"object": "response", "status": "completed", "output": [{"type": "message", "content": [text]}]}
    events = (
        said | {"output_index": 0, "delta": "so"},
        said | {"delta": "and"},
        {"type": "response.completed", "response": response},
    )
    answer = ResponsesAccumulator()
    for place in order:
        answer.add(events[place])
    assert answer.recorded()[0].parts == (TextPart(content="so"), TextPart(content="and"))


def test_the_comparisons_of_repeated_texts_are_limited(monkeypatch):
    """Each repeated text is compared with each text before it: without a limit, a stream of 16 MiB takes minutes."""
    monkeypatch.setattr(responses_accumulator, "_MOST_COMPARED", 1000)
    answer = ResponsesAccumulator()
    answer.add({"type": "response.output_text.delta", "output_index": 0, "delta": "said once"})
    events = [{"type": "response.output_text.done", "output_index": 1, "text": str(number)} for number in range(10)]
    assert [answer.add(event) for event in events] == [[NewText(0, str(number))] for number in range(10)]
    assert answer.add({"type": "response.output_text.done", "text": "said once"}) == [NewText(0, "said once")]


@pytest.mark.parametrize("content", [[], [{"type": "output_audio", "data": "AA", "transcript": "call me"}]])
def test_a_spoken_response_is_new_text_and_recorded_once(content):
    answer = ResponsesAccumulator()
    delta = {"type": "response.audio.transcript.delta", "delta": "call me"}
    assert answer.add(delta) == [NewText(0, "call me")]
    output = [{"type": "message", "role": "assistant", "content": content}]
    assert answer.add({"type": "response.completed", "response": NO_OUTPUT["response"] | {"output": output}}) == []
    assert answer.recorded() == (Choice(parts=(TextPart(content="call me"),), finish_reason="stop"),)


def test_a_further_whole_response_does_not_repeat_the_texts_before_it():
    """Otherwise each of many empty responses in a stream costs as much as the whole stream."""
    answer = ResponsesAccumulator()
    answer.add({"type": "response.output_text.delta", "delta": "abc"})
    assert answer.add({"object": "response", "status": "completed"}) == []
    assert [choice.text for choice in answer.recorded()] == ["abc"]
