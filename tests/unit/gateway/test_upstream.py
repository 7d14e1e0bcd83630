"""The engine `upstream`: a gateway in front of a server that answers from a script."""

import json

import pytest
from prometheus_client import generate_latest
from support.scripted_upstream import (
    DONE,
    ERROR,
    WHOLE,
    Answer,
    chat_chunk,
    events_of_stream,
    sse,
    stream_of,
    usage_chunk,
)

from stream.wire import ReasoningPart, ToolCallPart

CANARY = "canary-7f3a"
KEY = "sk-provider"
MIB = 1024 * 1024


async def test_a_request_is_relayed_with_all_its_fields_and_the_key_of_the_provider(relay, upstream):
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
    request, end = stack.ended()
    assert (request.text, request.conversation_id, request.model_version) == ("hello", "c1", "provider-model")
    assert (end.status, end.text, end.usage.total_tokens, end.finish_reason) == ("complete", "one two", 5, "stop")


async def test_without_a_provider_key_the_key_of_the_client_is_not_sent(relay, upstream):
    await relay(Answer.json(WHOLE), upstream_api_key="").chat()
    assert "authorization" not in upstream.requests[0][1]


@pytest.mark.parametrize("asked", [None, {}, {"include_usage": False, "vendor": 1}])
async def test_a_stream_requests_the_usage_and_hides_it(relay, upstream, asked):
    chunks = [chat_chunk("one ", usage=None), chat_chunk("two", finish="stop", system_fingerprint="fp"), usage_chunk()]
    stack = relay(Answer(*sse(*chunks), DONE))
    answer = await stack.chat(stream=True, **({} if asked is None else {"stream_options": asked}))
    shown = [{k: v for k, v in chunk.items() if k != "usage"} | {"model": "echo"} for chunk in chunks[:2]]
    assert events_of_stream(answer) == [*shown, "[DONE]"]
    assert upstream.bodies[0]["stream_options"] == (asked or {}) | {"include_usage": True}
    _, end = stack.ended()
    assert (end.status, end.text, end.usage.completion_tokens) == ("complete", "one two", 2)


async def test_a_client_that_requests_the_usage_receives_it(relay):
    answer = await relay(Answer(*stream_of("a"))).chat(stream=True, stream_options={"include_usage": True})
    assert events_of_stream(answer)[-2] == usage_chunk() | {"model": "echo"}


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
    request, end = stack.ended()
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
async def test_streams_in_the_formats_of_different_servers_are_read(relay, sent):
    stack = relay(Answer(*sent))
    answer = await stack.chat(stream=True)
    assert events_of_stream(answer)[-1] == "[DONE]"
    _, end = stack.ended()
    assert (end.status, end.text, end.usage.completion_tokens) == ("complete", "na\u00efve \U0001f44b", 2)


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b'"a\\ud83d"', "a?"), (b'"a\xff"', "a\ufffd"), (b'"a", "logprob": NaN', "a"), (b'"a", "n": -Infinity', "a")],
)
async def test_invalid_json_of_python_servers_is_read(relay, raw, text):
    chunk = b'data: {"choices": [{"index": 0, "delta": {"content": %s}, "finish_reason": "stop"}]}\n\n' % raw
    stack = relay(Answer(chunk, DONE))
    answer = await stack.chat(stream=True)
    assert events_of_stream(answer)[0]["choices"][0]["delta"]["content"] == text
    assert stack.ended()[1].text == text


BEGUN = sse(chat_chunk("one "))
FAILURES = {
    "the connection breaks": ([*BEGUN, "break"], "upstream_broken"),
    "half a chunk": ([*BEGUN, b'data: {"choi', "break"], "upstream_broken"),
    "half a chunk, then the end": ([*BEGUN, b'data: {"choi'], "upstream_broken"),
    "the end without a finish reason": ([*BEGUN], "upstream_broken"),
    "the end with an empty finish reason": (sse(chat_chunk("one ", finish="")), "upstream_broken"),
    "no JSON": ([*BEGUN, b"data: <html>\n\n"], "upstream_broken"),
    "no object": ([*BEGUN, b"data: [1]\n\n"], "upstream_broken"),
    "deep": ([*BEGUN, b"data: {" + b'"a":{' * 5000 + b"}" * 5001 + b"\n\n"], "upstream_broken"),
    "deep for its reader": ([*BEGUN, b'data: {"a":' + b"[" * 200 + b"]" * 200 + b"}\n\n"], "upstream_broken"),
    "a number out of range": ([*BEGUN, b'data: {"a": 1e400}\n\n'], "upstream_broken"),
    "an endless line": ([*BEGUN, *[b"x" * MIB] * 17], "upstream_broken"),
    "an endless event": ([*BEGUN, *[b"data: " + b"x" * MIB + b"\n"] * 17], "upstream_broken"),
    "a hang": ([*BEGUN, "hang"], "upstream_timeout"),
    "an error": ([*BEGUN, *sse(ERROR)], "upstream_error"),
    "an error with a name": ([*BEGUN, b"event: error\n" + sse({"message": "m"})[0]], "upstream_error"),
    "an error beside choices": ([*BEGUN, *sse(chat_chunk("") | ERROR)], "upstream_error"),
}


@pytest.mark.parametrize(("sent", "kind"), FAILURES.values(), ids=FAILURES)
async def test_a_stream_that_fails_is_an_error_event_and_its_text_is_recorded(relay, sent, kind):
    stack = relay(Answer(*sent), upstream_read_seconds=0.2)
    answer = await stack.chat(CANARY, stream=True)
    first, last = events_of_stream(answer)
    assert first["choices"][0]["delta"]["content"] == "one "
    if kind == "upstream_error":
        assert last == json.loads(sent[-1].split(b"data: ")[1])
    else:
        assert (last["error"]["code"], last["error"]["type"]) == (kind, "server_error")
        assert kind != "upstream_timeout" or "for 0.2 s, the limit upstream_read_seconds" in last["error"]["message"]
    _, end = stack.ended()
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
async def test_an_invalid_answer_is_an_error_with_a_status(relay, caplog, case, stream):
    answer, status, kind = REFUSED[case]
    stack = relay(answer, upstream_read_seconds=0.3)
    found = await stack.chat(CANARY, stream=stream)
    assert found.status_code == status
    assert "error" in found.json()
    _, end = stack.ended()
    assert (end.status, end.error.kind, end.error.status, end.text) == ("error", kind, status, "")
    spans = "".join(span.to_json() for span in stack.spans.get_finished_spans())
    assert CANARY not in found.text + caplog.text + spans + generate_latest(stack.registry).decode()


async def test_a_whole_response_to_a_request_for_a_stream_is_an_error_with_this_reason(relay):
    answer = await relay(Answer.json(WHOLE)).chat(stream=True)
    assert answer.status_code == 502
    assert "answered a request for a stream with a whole response" in answer.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("in_array", [False, True])
@pytest.mark.parametrize("status", [400, 404, 422, 429, 500, 503])
async def test_an_error_of_the_server_keeps_its_status_and_body(relay, status, in_array, stream):
    body = [ERROR] if in_array else ERROR
    stack = relay(Answer.json(body, status=status, retry_after="7"))
    answer = await stack.chat(stream=stream)
    assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (status, ERROR, "7")
    _, end = stack.ended()
    assert (end.status, end.error.kind, end.error.status) == ("error", "upstream_error", status)


@pytest.mark.parametrize(
    ("status", "setting"), [(401, "upstream_api_key"), (403, "upstream_api_key"), (407, "HTTPS_PROXY")]
)
@pytest.mark.parametrize("in_stream", [False, True])
async def test_a_rejected_provider_key_is_reported_as_an_error_of_the_operator(
    relay, caplog, status, setting, in_stream
):
    error = {"error": {"message": f"wrong key {CANARY}", "code": status}}
    stack = relay(Answer(*sse(error)) if in_stream else Answer.json(error, status=status))
    answer = await stack.chat(stream=in_stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
    assert f"rejects Weir's key (status {status})" in answer.json()["error"]["message"]
    logged = next(record.getMessage() for record in caplog.records if record.name.startswith("serving.upstream"))
    assert "model echo" in logged
    assert setting in logged
    assert CANARY not in answer.text + caplog.text
    end = stack.ended()[1]
    assert (end.error.kind, end.error.status) == ("upstream_error", 502)


async def test_cookies_of_the_server_are_not_kept(relay, upstream):
    stack = relay(Answer.json(WHOLE, set_cookie="session=acme; Path=/"))
    await stack.chat()
    await stack.chat()
    assert "cookie" not in upstream.requests[1][1]


@pytest.mark.parametrize(
    ("indexes", "status"),
    [((0, 1), "complete"), ((0,), "error"), ((1,), "error")],
    ids=["both", "the first", "the second"],
)
async def test_a_stream_of_two_choices_is_complete_when_both_have_ended(relay, indexes, status):
    def chunk(index, **fields):
        return chat_chunk() | {"choices": [{"index": index, "delta": {"content": "a"}} | fields]}

    ends = [chunk(index, finish_reason="stop") for index in indexes]
    stack = relay(Answer(*sse(chunk(0), chunk(1), *ends, usage_chunk())))
    await stack.chat(stream=True, n=2)
    assert stack.ended()[1].status == status


@pytest.mark.parametrize("fields", [{"n": 2}, {"n": "2"}, {"n": 0}, {}], ids=str)
async def test_a_stream_that_ends_before_a_choice_begins_is_broken(relay, fields):
    stack = relay(Answer(*sse(chat_chunk("a"), chat_chunk(finish="stop"))))
    await stack.chat(stream=True, **fields)
    assert stack.ended()[1].status == ("error" if fields == {"n": 2} else "complete")


async def test_a_model_version_with_any_character_fits_its_header(make_stack, upstream):
    upstream.script = [Answer.json(WHOLE)]
    stack = make_stack(upstream={"base_url": upstream.url, "upstream_model": "通义"})
    answer = await stack.chat()
    assert (answer.status_code, answer.headers["x-weir-model-version"]) == (200, r"\u901a\u4e49")
    assert stack.ended()[0].model_version == "通义"


async def test_an_unreachable_server_is_an_error(relay):
    stack = relay(Answer.json(WHOLE), base_url="http://127.0.0.1:9/v1")
    answer = await stack.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    assert stack.ended()[1].error.kind == "upstream_unreachable"


@pytest.mark.parametrize("number", [2**53, 10**30, 1.5])
async def test_token_counts_that_no_record_can_contain_are_recorded_as_0(relay, number):
    whole = WHOLE | {"usage": {"prompt_tokens": number, "completion_tokens": number}}
    stack = relay(Answer.json(whole))
    assert (await stack.chat()).json() == whole | {"model": "echo"}
    _, end = stack.ended()
    assert (end.status, end.usage.total_tokens) == ("complete", 0)


async def test_ids_and_finish_reasons_of_the_server_cannot_bring_text_into_spans(relay):
    choice = WHOLE["choices"][0] | {"finish_reason": f"because {CANARY}"}
    stack = relay(Answer.json(WHOLE | {"id": f"id {CANARY}", "choices": [choice]}))
    await stack.chat()
    assert CANARY not in "".join(span.to_json() for span in stack.spans.get_finished_spans())


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


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{}] * 16_385},
        {"messages": [{"content": [{}] * 16_384}]},
        {"messages": [{"tool_calls": [None] * 16_384}]},
        {"messages": [{"content": [{"content": [{}] * 16_383}]}]},
        {"documents": ["a"] * 16_384},
        {"prediction": {"content": ["a"] * 16_384}},
        {"prompt": {"variables": dict.fromkeys(map(str, range(16_384)), "a")}},
        {"chat_template_kwargs": {"a": [{"b": "c"}] * 16_384}},
        {"tools": [{}] * 16_384},
        {"input": ["a"] * 16_384},
        {"prompt": ["a"] * 16_384},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_more_items_than_weir_reads_in_time_are_400(relay, upstream, fields):
    stack = relay()
    answer = await stack.post("chat/completions", **{"messages": [{}]} | fields)
    assert answer.status_code == 400
    assert "are 16385 items, the limit is 16384; send fewer" in answer.json()["error"]["message"]
    assert upstream.requests == []


async def test_a_request_for_an_unknown_model_is_404_with_any_fields(relay):
    answer = await relay(Answer.json(WHOLE)).chat(model="other", top_k=3)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_is_too_large_for_kafka_has_an_end_with_its_beginning(relay, stream):
    text = "begin " + "long " * 50_000
    if stream:
        chunks = [chat_chunk(text) for _ in range(8)]
        stack = relay(Answer(*sse(*chunks, chat_chunk(finish="stop")), DONE))
    else:
        stack = relay(Answer.json(WHOLE | {"choices": [{"index": 0, "message": {"content": text * 8}}]}))
    answer = await stack.chat(stream=stream)
    assert answer.text.count("begin ") == 8
    _, end = stack.ended()
    assert (end.status, end.owed, end.text[:10]) == ("complete", ("pii", "refusal"), "begin long")
    assert end.recorded == pytest.approx(len(end.text) / len(text * 8))
    assert 0.49 < end.recorded < 0.5
