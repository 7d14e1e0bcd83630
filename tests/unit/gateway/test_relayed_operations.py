"""Operations of only some engines: completions of many prompts, embeddings, and the Responses API."""

import json

import pytest
from prometheus_client import generate_latest
from support.scripted_upstream import DONE, Answer, chat_chunk, sse

from serving.openai_api.answer import RelayedAnswer
from serving.openai_api.responses_accumulator import ResponsesAccumulator
from stream.wire import Choice, ReasoningPart, TextPart, ToolCallPart

DELTA = {"type": "response.output_text.delta", "delta": "one"}
EMBEDDING = {
    "object": "list",
    "model": "provider-model",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 1e-9]}],
    "usage": {"prompt_tokens": 4, "total_tokens": 4},
}


@pytest.mark.parametrize(
    ("given", "texts", "ids"),
    [("a b", ["a b"], None), (["a", "b"], ["a", "b"], None), ([5, 6, 7], [], 3), ([[5, 6], [7]], [], 3)],
)
async def test_embeddings_are_relayed_and_their_texts_recorded(relay, upstream, given, texts, ids):
    stack = relay(Answer.json(EMBEDDING))
    answer = await stack.post("embeddings", input=given, dimensions=2)
    assert answer.json() == EMBEDDING | {"model": "echo"}
    assert upstream.requests[0][0] == "/v1/embeddings"
    assert upstream.bodies == [{"model": "provider-model", "input": given, "dimensions": 2}]
    request, end = stack.ended()
    assert (request.operation, [message.text for message in request.messages]) == ("embeddings", texts)
    assert {message.role for message in request.messages} <= {"user"}
    assert request.parameters.get("token_ids") == ids
    assert (end.status, end.messages, end.usage.prompt_tokens, end.owed) == ("complete", (), 4, ())


@pytest.mark.parametrize(
    ("path", "fields", "texts"),
    [
        ("embeddings", {"messages": [{"role": "user", "content": [{"type": "text", "text": "a b"}]}]}, ["a b"]),
        ("completions", {"prompt": "def f(", "suffix": "return 1"}, ["def f(", "return 1"]),
        ("completions", {"prompt": "def f(", "suffix": ""}, ["def f("]),
        ("completions", {"prompt": "def f(", "suffix": 3}, ["def f("]),
    ],
)
async def test_text_beside_the_usual_field_of_a_prompt_is_recorded(relay, path, fields, texts):
    stack = relay(Answer.json(EMBEDDING | {"choices": [{"index": 0, "text": "x", "finish_reason": "stop"}]}))
    await stack.post(path, **fields)
    request, _ = stack.ended()
    assert [(message.role, message.text) for message in request.messages] == [("user", text) for text in texts]
    assert request.owed == ("pii", "injection")


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b'"model": 1e400', (502, "upstream_broken")),
        (b'"usage": ' + b"[" * 200 + b"]" * 200, (502, "upstream_broken")),
        (b'"model": "a\xff"', (200, None)),
        (b'"usage": {"prompt_tokens": NaN}', (200, None)),
    ],
)
async def test_a_bad_field_beside_the_embeddings_is_no_internal_error(relay, field, expected):
    stack = relay(Answer.json(b'{"object": "list", "data": [], ' + field + b"}"))
    answer = await stack.post("embeddings", input="x")
    assert (answer.status_code, answer.json().get("error", {}).get("code")) == expected


async def test_embeddings_have_no_streams(relay):
    assert (await relay(Answer.json(EMBEDDING)).post("embeddings", input="x", stream=True)).status_code == 400


CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"a": 1}'}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "error": None,
    "model": "provider-model",
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "one two"}]},
        CALL,
    ],
    "usage": {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14},
}
PARTS = (
    ReasoningPart(content="hm"),
    TextPart(content="one two"),
    ToolCallPart(id="call_1", name="f", arguments='{"a": 1}'),
)
STREAMED = [
    {"type": "response.created", "response": RESPONSE | {"status": "in_progress", "output": [], "usage": None}},
    {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "hm"},
    {"type": "response.output_text.delta", "output_index": 1, "delta": "one "},
    {"type": "response.output_text.delta", "output_index": 1, "delta": "two"},
    {"type": "response.output_text.done", "output_index": 1, "text": "one two"},
    {"type": "response.output_item.added", "output_index": 2, "item": CALL | {"arguments": ""}},
    {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"a"'},
    {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": ": 1}"},
]
ASKED = {
    "input": [{"role": "user", "content": "hi"}],
    "instructions": "be brief",
    "max_output_tokens": 50,
    "store": False,
}


def named(*events):
    return [f"event: {event['type']}\n".encode() + sse(event)[0] for event in events]


async def test_a_response_is_relayed_and_recorded(relay, upstream):
    stack = relay(Answer.json(RESPONSE))
    answer = await stack.post("responses", **ASKED)
    assert answer.json() == RESPONSE | {"model": "echo"}
    assert upstream.bodies == [{"model": "provider-model", **ASKED}]
    request, end = stack.ended()
    assert (request.operation, request.parameters) == ("responses", {"max_tokens": 50})
    assert [(message.role, message.text) for message in request.messages] == [("system", "be brief"), ("user", "hi")]
    assert (end.status, end.messages[0].parts, end.finish_reason) == ("complete", PARTS, "stop")
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (9, 5)


@pytest.mark.parametrize("with_output", [True, False])
async def test_the_events_of_a_response_are_relayed_with_their_names(relay, with_output):
    last = {"type": "response.completed", "response": RESPONSE | ({} if with_output else {"output": []})}
    stack = relay(Answer(*named(*STREAMED, last)))
    answer = await stack.post("responses", stream=True, **ASKED)
    blocks = [block.split("\n") for block in answer.text.split("\n\n") if block]
    assert [name for name, _ in blocks] == [f"event: {event['type']}" for event in [*STREAMED, last]]
    sent = [json.loads(data.removeprefix("data: ")) for _, data in blocks]
    assert sent == [
        event | ({"response": event["response"] | {"model": "echo"}} if "response" in event else {})
        for event in [*STREAMED, last]
    ]
    _, end = stack.ended()
    assert (end.status, end.messages[0].parts, end.finish_reason) == ("complete", PARTS, "stop")
    assert end.usage.completion_tokens == 5


TWO_TEXTS = [
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "one two"}]},
    {"type": "message", "content": [{"type": "output_text", "text": "a b"}, {"type": "refusal", "refusal": "no"}]},
]


def text_event(kind, output_index=0, content_index=0, **fields):
    return {"type": f"response.{kind}", "output_index": output_index, "content_index": content_index} | fields


@pytest.mark.parametrize(
    "events",
    [
        [],
        [text_event("output_text.done", text="one two")],
        [text_event("output_text.delta", delta="one "), text_event("output_text.done", text="one two")],
        [text_event("content_part.done", 1, 1, part=TWO_TEXTS[1]["content"][1])],
        [text_event("refusal.done", 1, 1, refusal="no")],
        [text_event("output_item.done", 1, item=TWO_TEXTS[1])],
        [text_event("output_item.done", item=TWO_TEXTS[0]), text_event("output_text.delta", 1, delta="a ")],
        [{"type": "response.output_text.delta", "delta": text} for text in ("one ", "two", "a b")],
        [{"type": "response.output_text.delta", "output_index": 7, "delta": "one two"}],
    ],
)
def test_text_that_was_in_no_delta_is_new_once(events):
    answer = ResponsesAccumulator()
    last = {"type": "response.completed", "response": RESPONSE | {"output": TWO_TEXTS}}
    new = [new.text for event in [*events, last, last] for new in answer.add(event)]
    assert sorted("".join(new).replace("\n", "")) == sorted("one twoa bno")


@pytest.mark.parametrize(
    "events",
    [
        [text_event("output_text.done", text="banana"), text_event("output_text.done", 1, text="nan")],
        [
            text_event("output_text.delta", delta="banana"),
            text_event("output_text.done", text="banana"),
            text_event("output_text.done", 1, text="nan"),
            text_event("content_part.done", 1, part={"type": "output_text", "text": "nan"}),
        ],
        [
            text_event("output_text.delta", delta="ban"),
            text_event("output_text.done", text="banana"),
            text_event("output_text.delta", 1, delta="n"),
            text_event("output_text.done", 1, text="nan"),
        ],
    ],
    ids=["without deltas", "a delta of the first", "a delta of both"],
)
def test_a_text_that_is_a_part_of_an_earlier_text_is_new(events):
    answer = ResponsesAccumulator()
    assert "".join(new.text for event in events for new in answer.add(event)) == "banananan"
    assert [choice.text for choice in answer.recorded()] == ["banananan"]


def test_the_event_that_ends_a_stopped_response_has_no_text_of_the_last_event():
    relayed = RelayedAnswer("r", "echo", "responses", include_usage=False)
    answer = relayed.accumulator()
    answer.add({"type": "response.completed", "response": RESPONSE})
    answer.stop()
    event = relayed.stopped_chunk(answer)
    assert (event["type"], event["response"]["status"], event["response"]["output"]) == (
        "response.incomplete",
        "incomplete",
        [],
    )
    assert [choice.text for choice in answer.recorded()] == ["one two"]


def test_text_without_deltas_is_recorded_if_the_stream_breaks():
    answer = ResponsesAccumulator()
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    for event in (
        text_event("reasoning_summary_part.done", part={"type": "summary_text", "text": "hm"}),
        text_event("output_item.done", item=reasoning),
        text_event("output_text.done", 1, text="one two"),
        text_event("output_item.done", 1, item=TWO_TEXTS[0]),
    ):
        answer.add(event)
    assert [choice.parts for choice in answer.recorded()] == [PARTS[:2]]


SHELL = {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls", "rm x"]}}
PROGRAM = {"type": "program", "call_id": "c", "code": "print(1)"}


@pytest.mark.parametrize(
    ("events", "call"),
    [
        (
            [
                text_event("output_item.added", item=SHELL | {"action": {"commands": []}}),
                text_event("shell_call_command.added", command_index=0, command=""),
                text_event("shell_call_command.delta", command_index=0, delta="ls"),
                text_event("shell_call_command.added", command_index=1, command=""),
                text_event("shell_call_command.delta", command_index=1, delta="rm x"),
                text_event("output_item.done", item=SHELL),
            ],
            ToolCallPart(name="shell", id="c", arguments="\nls\nrm x"),
        ),
        (
            [text_event("output_item.added", item=PROGRAM), *[text_event("output_item.done", item=PROGRAM)] * 2],
            ToolCallPart(name="program", id="c", arguments="print(1)"),
        ),
        ([text_event("output_item.done", item=CALL)], PARTS[2]),
    ],
)
def test_the_calls_of_a_response_that_breaks_are_recorded(events, call):
    answer = ResponsesAccumulator()
    new = [new for event in events for new in answer.add(event)]
    assert answer.recorded() == (Choice(parts=(call,)),)
    assert ("".join(text.text for text in new), {text.part for text in new}) == (call.arguments, {"call 0"})


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.output_text.done", "text": 3, "output_index": []},
        {"type": "response.output_item.done", "item": 3},
        {"type": "response.content_part.done", "part": [1]},
        {"type": [], "text": "x"},
        {"response": {"output": [None, 3, {"content": 3}]}},
    ],
)
def test_an_event_that_does_not_fit_the_format_is_ignored(event):
    answer = ResponsesAccumulator()
    assert answer.add(event) == []
    assert answer.recorded() == ()


async def test_the_received_part_of_a_response_that_breaks_is_recorded(relay):
    stack = relay(Answer(*named(*STREAMED), "break"))
    answer = await stack.post("responses", stream=True, **ASKED)
    assert "upstream_broken" in answer.text
    _, end = stack.ended()
    assert (end.status, end.error.kind, end.messages[0].parts) == ("error", "upstream_broken", PARTS)


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, ("complete", "length")),
        ({"status": "failed", "error": {"code": "server_error", "message": "x"}}, ("error", "error")),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_may_be_incomplete_or_fail(relay, details, expected, stream):
    response = RESPONSE | details
    event = {"type": f"response.{details['status']}", "response": response}
    stack = relay(Answer(*named(event)) if stream else Answer.json(response))
    answer = await stack.post("responses", stream=stream, **ASKED)
    assert answer.status_code == 200
    _, end = stack.ended()
    assert (end.status, end.finish_reason) == expected


@pytest.mark.parametrize(
    ("path", "begin", "token"),
    [
        ("responses", {"type": "response.created", "response": {"object": "response"}}, DELTA),
        ("chat/completions", chat_chunk(""), chat_chunk("one")),
        ("chat/completions", chat_chunk() | {"choices": []}, chat_chunk("one")),
    ],
)
async def test_a_chunk_without_text_is_not_the_first_token(relay, path, begin, token):
    stack = relay(Answer(*sse(begin), 0.2, *sse(token), DONE))
    await stack.post(path, stream=True, messages=[], input="hi")
    _, end = stack.ended()
    assert end.time_to_first_token_seconds >= 0.2


@pytest.mark.parametrize(("path", "body"), [("responses", RESPONSE), ("embeddings", EMBEDDING)])
async def test_a_relayed_answer_that_is_not_a_stream_has_no_first_token(relay, path, body):
    stack = relay(Answer.json(body))
    await stack.post(path, input="hi")
    _, end = stack.ended()
    metrics = generate_latest(stack.registry).decode()
    assert end.time_to_first_token_seconds is None
    assert "gen_ai_server_request_duration_seconds_count{" in metrics
    assert "gen_ai_server_time_to_first_token_seconds_count{" not in metrics
    assert "gen_ai_server_time_per_output_token_seconds_count{" not in metrics


async def test_background_and_stored_responses_are_not_supported(relay):
    stack = relay(Answer.json(RESPONSE))
    answer = await stack.post("responses", background=True, **ASKED)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "background")
    for method, path in (("GET", "resp_1"), ("DELETE", "resp_1"), ("POST", "compact"), ("POST", "input_tokens")):
        missing = await stack.client.request(method, f"/v1/responses/{path}")
        assert missing.status_code == 404
        assert "only POST /v1/responses, and no stored responses" in missing.json()["error"]["message"]


@pytest.mark.parametrize("path", ["embeddings", "responses"])
async def test_an_engine_without_the_endpoint_is_named(stack, path):
    answer = await stack.post(path, input="x")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "unsupported_endpoint"
    assert "'echo'" in error["message"]
    assert f"/v1/{path}" in error["message"]


async def test_every_answer_to_a_batch_of_prompts_is_recorded(relay):
    choices = [{"index": index, "text": f"answer {index}", "finish_reason": "stop"} for index in range(300)]
    stack = relay(Answer.json({"object": "text_completion", "choices": choices}))
    await stack.post("completions", prompt=["a"] * 150, n=2)
    _, end = stack.ended()
    assert [choice.text for choice in end.messages] == [choice["text"] for choice in choices]


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("completions", {"prompt": ["a"] * 1025, "n": 2}, "prompt"),
        ("completions", {"prompt": [[1, 2]] * 2049}, "prompt"),
        ("chat/completions", {"messages": [{}], "n": 2049}, "n"),
    ],
)
async def test_more_answers_than_a_record_has_are_400(relay, upstream, path, fields, param):
    stack = relay()
    answer = await stack.post(path, **fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert "the limit is 2048" in answer.json()["error"]["message"]
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"model": None}, "model must be a string; got null."),
        ({"model": ["m"]}, "model must be a string; got an array of 1 item."),
        ({"stream": 1}, "stream must be true or false; got 1."),
        ({"stream_options": "canary"}, "stream_options must be an object; got a string of 6 characters."),
    ],
)
async def test_a_field_of_a_wrong_type_is_400_in_the_words_of_json(relay, fields, problem):
    answer = await relay().post("chat/completions", messages=[{}], **fields)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, problem)
