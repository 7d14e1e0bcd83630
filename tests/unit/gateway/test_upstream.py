"""The engine `upstream`: a gateway in front of a server that does what a script says."""

import asyncio
import json
import time

import pytest
from prometheus_client import generate_latest
from support.ledger_log import Log
from support.scripted_upstream import (
    DONE,
    Answer,
    chat_chunk,
    scripted_upstream,
    sse,
    stream_of,
    usage_chunk,
)

from stream.ledger.shard import Shard
from stream.wire import ReasoningPart, TextPart, ToolCallPart

CANARY = "canary-7f3a"
KEY = "sk-provider"
MIB = 1024 * 1024
WHOLE = {
    "id": "chatcmpl-up1",
    "object": "chat.completion",
    "model": "provider-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "one two"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    "service_tier": "gold",
}
ERROR = {"error": {"message": "no such thing", "type": "x", "code": 7, "extra": [1]}}


@pytest.fixture
async def upstream():
    async with scripted_upstream() as server:
        yield server


@pytest.fixture
def relay(make_stack, upstream):
    def make(*script, **settings):
        upstream.script = list(script)
        defaults = {"base_url": upstream.url, "upstream_api_key": KEY, "upstream_model": "provider-model"}
        return make_stack(upstream=defaults | {"upstream_retries": 0} | settings)

    return make


def events(answer):
    blocks = [block for block in answer.text.split("\n\n") if block]
    rows = [block.removeprefix("data: ") for block in blocks]
    return [row if row == "[DONE]" else json.loads(row) for row in rows]


def ended(stack):
    """Return the request and its end, after the ledger has counted both."""
    records = stack.records()
    shard = Shard(":memory:")
    assert shard.apply(Log().inference(*records)) == len(records)
    shard.close()
    request, end = (record.data for record in records)
    assert request.request_id == end.request_id
    return request, end


async def until(condition):
    deadline = time.monotonic() + 2
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_request_is_relayed_with_all_its_fields_and_the_provider_s_key(relay, upstream):
    stack = relay(Answer.json(WHOLE))
    fields = {
        "top_k": 5,
        "guided_choice": ["a", {"b": None}],
        "temperature": 0.5,
        "metadata": {"conversation_id": "c1"},
    }
    answer = await stack.chat("hello", **fields)
    assert answer.json() == WHOLE | {"model": "echo"}
    assert len(answer.headers["x-request-id"]) == 36
    ((path, headers, _),) = upstream.requests
    assert path == "/v1/chat/completions"
    sent = {"model": "provider-model", "messages": [{"role": "user", "content": "hello"}], **fields}
    assert upstream.bodies == [sent]
    assert headers["authorization"] == f"Bearer {KEY}"
    span = next(span for span in stack.spans.get_finished_spans() if span.name == "chat echo")
    assert headers["traceparent"].split("-")[1:3] == [f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"]
    assert set(headers) <= {
        *(
            "authorization",
            "traceparent",
            "content-type",
            "content-length",
            "host",
            "connection",
            "accept",
            "user-agent",
        ),
        "accept-encoding",
    }
    assert span.attributes["gen_ai.response.id"] == "chatcmpl-up1"
    request, end = ended(stack)
    assert (request.text, request.conversation_id, request.model_version) == ("hello", "c1", "provider-model")
    assert (end.status, end.text, end.usage.total_tokens, end.finish_reason) == ("complete", "one two", 5, "stop")


async def test_without_a_key_the_client_s_key_is_not_sent(relay, upstream):
    await relay(Answer.json(WHOLE), upstream_api_key="").chat()
    assert "authorization" not in upstream.requests[0][1]


@pytest.mark.parametrize("asked", [None, {}, {"include_usage": False, "vendor": 1}])
async def test_a_stream_requests_the_usage_and_hides_it(relay, upstream, asked):
    chunks = [chat_chunk("one ", usage=None), chat_chunk("two", finish="stop", system_fingerprint="fp"), usage_chunk()]
    stack = relay(Answer(*sse(*chunks), DONE))
    answer = await stack.chat(stream=True, **({} if asked is None else {"stream_options": asked}))
    shown = [{k: v for k, v in chunk.items() if k != "usage"} | {"model": "echo"} for chunk in chunks[:2]]
    assert events(answer) == [*shown, "[DONE]"]
    assert upstream.bodies[0]["stream_options"] == (asked or {}) | {"include_usage": True}
    _, end = ended(stack)
    assert (end.status, end.text, end.usage.completion_tokens) == ("complete", "one two", 2)


async def test_a_client_that_requests_the_usage_receives_it(relay):
    answer = await relay(Answer(*stream_of("a"))).chat(stream=True, stream_options={"include_usage": True})
    assert events(answer)[-2] == usage_chunk() | {"model": "echo"}


async def test_tool_calls_and_reasoning_are_recorded(relay):
    def delta(**fields):
        return chat_chunk() | {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}

    function = {"name": "f", "arguments": '{"a"'}
    chunks = [
        delta(reasoning_content="hm"),
        delta(tool_calls=[{"index": 0, "id": "c", "function": function}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        chat_chunk(finish="tool_calls"),
    ]
    stack = relay(Answer(*sse(*chunks), DONE))
    await stack.chat(stream=True, tools=[{"type": "function", "function": {"name": "f"}}])
    request, end = ended(stack)
    assert request.tools[0].name == "f"
    (choice,) = end.messages
    assert choice.parts == (ReasoningPart(content="hm"), ToolCallPart(id="c", name="f", arguments='{"a": 1}'))


def pieces(text: bytes, size: int) -> list[bytes]:
    return [text[start : start + size] for start in range(0, len(text), size)]


STREAM = b"".join(
    json.dumps(chunk, ensure_ascii=False).encode().join((b"data: ", b"\n\n"))
    for chunk in (chat_chunk("na\u00efve "), chat_chunk("\U0001f44b"), chat_chunk(finish="stop"), usage_chunk())
)
TOLERATED = {
    "one byte at a time": [*pieces(STREAM, 1), DONE],
    "CRLF": [STREAM.replace(b"\n", b"\r\n"), b"data: [DONE]\r\n\r\n"],
    "comments, names and unknown fields": [
        b": ping\n\nevent: x\nid: 3\nretry: 5\nnonsense\n",
        STREAM,
        b": bye\n\n",
        DONE,
    ],
    "no end marker": [STREAM],
    "no empty line at the end": [STREAM.rstrip(b"\n")],
    "several lines of data": [STREAM.replace(b'"object"', b'\ndata: "object"'), DONE],
    "no space": [STREAM.replace(b"data: ", b"data:"), b"data:[DONE]\n\n"],
    "byte order mark": [b"\xef\xbb\xbf" + STREAM, DONE],
    "the connection stays open after the end": [STREAM, DONE, "hang"],
}


@pytest.mark.parametrize("sent", TOLERATED.values(), ids=TOLERATED)
async def test_streams_of_all_kinds_of_servers(relay, sent):
    stack = relay(Answer(*sent))
    answer = await stack.chat(stream=True)
    assert events(answer)[-1] == "[DONE]"
    _, end = ended(stack)
    assert (end.status, end.text, end.usage.completion_tokens) == ("complete", "na\u00efve \U0001f44b", 2)


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b'"a\\ud83d"', "a?"), (b'"a\xff"', "a\ufffd"), (b'"a", "logprob": NaN', "a"), (b'"a", "n": -Infinity', "a")],
)
async def test_json_that_python_servers_write_by_mistake(relay, raw, text):
    chunk = b'data: {"choices": [{"index": 0, "delta": {"content": %s}, "finish_reason": "stop"}]}\n\n' % raw
    stack = relay(Answer(chunk, DONE))
    answer = await stack.chat(stream=True)
    assert events(answer)[0]["choices"][0]["delta"]["content"] == text
    assert ended(stack)[1].text == text


BEGUN = sse(chat_chunk("one "))
FAILURES = {
    "the connection breaks": ([*BEGUN, "break"], "upstream_broken"),
    "half a chunk": ([*BEGUN, b'data: {"choi', "break"], "upstream_broken"),
    "half a chunk, then the end": ([*BEGUN, b'data: {"choi'], "upstream_broken"),
    "the end without a finish reason": ([*BEGUN], "upstream_broken"),
    "no JSON": ([*BEGUN, b"data: <html>\n\n"], "upstream_broken"),
    "no object": ([*BEGUN, b"data: [1]\n\n"], "upstream_broken"),
    "deep": ([*BEGUN, b"data: {" + b'"a":{' * 5000 + b"}" * 5001 + b"\n\n"], "upstream_broken"),
    "deep for its reader": ([*BEGUN, b'data: {"a":' + b"[" * 200 + b"]" * 200 + b"}\n\n"], "upstream_broken"),
    "a number out of range": ([*BEGUN, b'data: {"a": 1e400}\n\n'], "upstream_broken"),
    "an endless line": ([*BEGUN, *[b"x" * 65_536] * 20], "upstream_broken"),
    "an endless event": ([*BEGUN, *[b"data: " + b"x" * 65_536 + b"\n"] * 20], "upstream_broken"),
    "a hang": ([*BEGUN, "hang"], "upstream_timeout"),
    "an error": ([*BEGUN, *sse(ERROR)], "upstream_error"),
    "an error with a name": ([*BEGUN, b"event: error\n" + sse({"message": "m"})[0]], "upstream_error"),
    "an error beside choices": ([*BEGUN, *sse(chat_chunk("") | ERROR)], "upstream_error"),
}


@pytest.mark.parametrize(("sent", "kind"), FAILURES.values(), ids=FAILURES)
async def test_a_stream_that_fails_is_an_error_event_and_its_text_is_recorded(relay, sent, kind):
    stack = relay(Answer(*sent), upstream_read_seconds=0.2)
    answer = await stack.chat(CANARY, stream=True)
    first, last = events(answer)
    assert first["choices"][0]["delta"]["content"] == "one "
    if kind == "upstream_error":
        assert last == json.loads(sent[-1].split(b"data: ")[1])
    else:
        assert (last["error"]["code"], last["error"]["type"]) == (kind, "server_error")
    _, end = ended(stack)
    assert (end.status, end.error.kind, end.text) == ("error", kind, "one ")


JUNK = b"\x00\xff\xfe junk \r\n\r\n"
REFUSED = {
    "an HTML page": (Answer(b"<html>"), 502, "upstream_broken"),
    "a list": (Answer.json([1]), 502, "upstream_broken"),
    "nothing": (Answer(), 502, "upstream_broken"),
    "invalid bytes": (Answer(JUNK), 502, "upstream_broken"),
    "a break in the middle": (Answer(b'{"choices"', "break"), 502, "upstream_broken"),
    "too large": (Answer(*[b"x" * MIB] * 17), 502, "upstream_broken"),
    "compressed": (Answer(b"x", headers={"content-encoding": "gzip"}), 502, "upstream_broken"),
    "a hang before the status": (Answer("hang", head=b""), 504, "upstream_timeout"),
    "a hang in the body": (Answer(b"{", "hang"), 504, "upstream_timeout"),
    "no HTTP": (Answer("break", head=JUNK), 502, "upstream_broken"),
    "endless headers": (
        Answer(*[b"x: " + b"y" * 60_000 + b"\r\n"] * 4, head=b"HTTP/1.1 200 OK\r\n"),
        502,
        "upstream_broken",
    ),
    "half a status": (Answer("break", head=b"HTTP/1"), 502, "upstream_broken"),
    "a redirect": (Answer(status=307, headers={"location": "http://127.0.0.1:1/"}), 502, "upstream_error"),
    "an error with status 200": (Answer.json({"error": "none such"}), 502, "upstream_error"),
    "an error page": (Answer(b"<h1>canary-7f3a</h1>", status=503), 503, "upstream_error"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_no_answer_is_an_error_with_a_status(relay, caplog, case, stream):
    answer, status, kind = REFUSED[case]
    if stream and case == "an error with status 200":
        kind = "upstream_broken"  # a body without events is no stream
    stack = relay(answer, upstream_read_seconds=0.3)
    found = await stack.chat(CANARY, stream=stream)
    assert found.status_code == status
    assert "error" in found.json()
    _, end = ended(stack)
    assert (end.status, end.error.kind, end.error.status, end.text) == ("error", kind, status, "")
    spans = "".join(span.to_json() for span in stack.spans.get_finished_spans())
    assert CANARY not in found.text + caplog.text + spans + generate_latest(stack.registry).decode()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500, 503])
async def test_an_error_of_the_server_is_handed_on_unchanged(relay, status, stream):
    stack = relay(Answer.json(ERROR, status=status, retry_after="7"))
    answer = await stack.chat(stream=stream)
    assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (status, ERROR, "7")
    _, end = ended(stack)
    assert (end.status, end.error.kind, end.error.status) == ("error", "upstream_error", status)


async def test_a_server_that_is_not_there(relay):
    stack = relay(Answer.json(WHOLE), base_url="http://127.0.0.1:9/v1")
    answer = await stack.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    assert ended(stack)[1].error.kind == "upstream_unreachable"


@pytest.mark.parametrize("number", [2**53, 2**63, 2**64, 10**30, -1, 1.5, "7", None])
async def test_token_counts_that_no_record_can_contain(relay, number):
    whole = WHOLE | {"usage": {"prompt_tokens": number, "completion_tokens": number}}
    stack = relay(Answer.json(whole))
    assert (await stack.chat()).json() == whole | {"model": "echo"}
    _, end = ended(stack)
    assert (end.status, end.usage.total_tokens) == ("complete", 0)


async def test_ids_and_finish_reasons_of_the_server_cannot_bring_text_into_spans(relay):
    choice = WHOLE["choices"][0] | {"finish_reason": f"because {CANARY}"}
    stack = relay(Answer.json(WHOLE | {"id": f"id {CANARY}", "choices": [choice]}))
    await stack.chat()
    assert CANARY not in "".join(span.to_json() for span in stack.spans.get_finished_spans())


RETRIED = {
    "429 with Retry-After": Answer.json(ERROR, status=429, retry_after="0"),
    "502": Answer.json(ERROR, status=502),
    "503": Answer(status=503),
    "504": Answer(status=504),
    "a connection that closes": Answer("break", head=b""),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("first", RETRIED.values(), ids=RETRIED)
async def test_a_request_is_sent_again_before_its_first_byte(relay, upstream, first, stream):
    stack = relay(first, Answer(*stream_of("a")) if stream else Answer.json(WHOLE), upstream_retries=1)
    assert (await stack.chat(stream=stream)).status_code == 200
    assert upstream.bodies[0] == upstream.bodies[1]
    assert ended(stack)[1].status == "complete"
    assert "weir_upstream_retries_total" in generate_latest(stack.registry).decode()


async def test_retry_after_is_waited_for(relay, upstream):
    stack = relay(Answer.json(ERROR, status=429, retry_after="1"), Answer.json(WHOLE), upstream_retries=1)
    started = time.monotonic()
    assert (await stack.chat()).status_code == 200
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer.json(ERROR, status=400),
        Answer.json(ERROR, status=500),
        Answer.json(ERROR, status=429, retry_after="3600"),
        Answer.json(ERROR, status=503, retry_after="Fri, 01 Jan 2100 00:00:00 GMT"),
        Answer(b"{", "break"),
        Answer(*BEGUN, "break"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_other_failures_are_not_sent_again(relay, upstream, answer, stream):
    stack = relay(answer, upstream_retries=3)
    await stack.chat(stream=stream)
    assert len(upstream.requests) == 1


async def test_the_circuit_opens_is_shown_and_closes(relay, upstream):
    stack = relay(Answer.json(ERROR, status=503), *[Answer.json(ERROR, status=503)] * 4, Answer.json(WHOLE))
    stack.backend._circuit._open_seconds = 0.3

    def shown():
        return 'weir_upstream_circuit_open{gen_ai_request_model="echo"} 1.0' in generate_latest(stack.registry).decode()

    for _ in range(5):
        assert not shown()
        assert (await stack.chat()).json() == ERROR
    assert shown()
    rejected = await stack.chat()
    assert (rejected.status_code, rejected.json()["error"]["code"]) == (503, "upstream_circuit_open")
    assert int(rejected.headers["retry-after"]) >= 1
    assert len(upstream.requests) == 5
    assert (await stack.client.get("/v1/models/echo")).json()["circuit_open"] is True
    assert (await stack.client.get("/readyz")).status_code == 200
    await asyncio.sleep(0.3)
    assert (await stack.chat()).status_code == 200
    assert not shown()
    (card,) = (await stack.client.get("/v1/models")).json()["data"]
    assert (card["engine"], card["circuit_open"]) == ("upstream", False)
    kinds = [record.data.error.kind for record in stack.records() if record.id.endswith("/end") and record.data.error]
    assert kinds == ["upstream_error"] * 5 + ["upstream_circuit_open"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("answer", [Answer(*BEGUN, "hang"), Answer("hang", head=b"")], ids=["begun", "no answer"])
async def test_a_client_that_leaves_closes_the_connection_at_once(relay, upstream, answer, stream):
    stack = relay(answer)
    task = asyncio.create_task(stack.chat(stream=stream))
    await until(lambda: upstream.requests)
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not upstream.open)
    assert upstream.closed_early == 1
    _, end = ended(stack)
    assert (end.status, end.text) == ("cancelled", "one " if stream and answer.head is None else "")


async def test_connections_are_limited_and_used_again(relay, upstream):
    stack = relay(Answer(0.02, *stream_of("a")), slots=2, queue=4)
    stack.backend.capacity = lambda: 6
    answers = await asyncio.gather(*(stack.chat(stream=True) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 6 + [503] * 2
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 503} == {"queue_full"}
    assert upstream.connections <= 2


async def test_200_requests_at_once_all_end(relay):
    stack = relay(Answer(0.01, *stream_of("a")), slots=20, queue=300)
    answers = await asyncio.gather(*(stack.chat(stream=number % 2 == 0) for number in range(200)))
    assert sum(answer.status_code == 200 for answer in answers) == 100, (
        "the others receive a stream that they did not ask for"
    )
    ends = [record.data for record in stack.records() if record.id.endswith("/end")]
    assert len(ends) == 200
    assert {(end.status, end.error and end.error.kind) for end in ends} == {
        ("complete", None),
        ("error", "upstream_broken"),
    }


@pytest.mark.parametrize("path", ["chat/completions", "completions", "embeddings", "responses"])
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"model": 3}',
        b'{"model": "echo", "stream": "yes"}',
        b'{"model": "echo", "stream_options": 3}',
        b'{"model": "echo", "x": NaN}',
        b'{"model": "echo", "x": "\\ud800"}',
        b'{"model": "echo", "x": "\xff"}',
        b'{"model": "echo", "x": 1e999}',
        b'{"model": "echo", "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"model": "echo", "x": ' + b"[" * 200 + b"]" * 200 + b"}",
        b'{"model": "' + b"x" * 300 + b'"}',
    ],
)
async def test_a_body_that_weir_cannot_relay_is_400(relay, upstream, path, body):
    stack = relay(Answer.json(WHOLE))
    answer = await stack.client.post(f"/v1/{path}", content=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert upstream.requests == []
    assert stack.records() == []


async def test_an_unknown_model_is_404_whatever_its_fields(relay):
    answer = await relay(Answer.json(WHOLE)).chat(model="other", top_k=3)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


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
    request, end = ended(stack)
    assert (request.operation, [message.text for message in request.messages]) == ("embeddings", texts)
    assert {message.role for message in request.messages} <= {"user"}
    assert request.parameters.get("token_ids") == ids
    assert (end.status, end.messages, end.usage.prompt_tokens, end.owed) == ("complete", (), 4, ())


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
    request, end = ended(stack)
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
    _, end = ended(stack)
    assert (end.status, end.messages[0].parts, end.finish_reason) == ("complete", PARTS, "stop")
    assert end.usage.completion_tokens == 5


async def test_a_response_that_breaks_is_recorded_as_far_as_it_came(relay):
    stack = relay(Answer(*named(*STREAMED), "break"))
    answer = await stack.post("responses", stream=True, **ASKED)
    assert "upstream_broken" in answer.text
    _, end = ended(stack)
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
    _, end = ended(stack)
    assert (end.status, end.finish_reason) == expected


async def test_background_and_stored_responses_are_not_supported(relay):
    stack = relay(Answer.json(RESPONSE))
    answer = await stack.post("responses", background=True, **ASKED)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "background")
    for method in ("GET", "DELETE"):
        missing = await stack.client.request(method, "/v1/responses/resp_1")
        assert missing.status_code == 404
        assert "stored responses" in missing.json()["error"]["message"]


@pytest.mark.parametrize("path", ["embeddings", "responses"])
async def test_an_engine_without_the_endpoint_is_named(stack, path):
    answer = await stack.post(path, input="x")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "unsupported_endpoint"
    assert "'echo'" in error["message"]
    assert f"/v1/{path}" in error["message"]
