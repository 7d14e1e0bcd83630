import asyncio
import contextlib
import json
from unittest.mock import Mock

import pytest
from support.scripted_upstream import DONE, Answer

from serving import http
from serving.capture.balance import read_balance
from serving.ray_local.haproxy import timeout_page
from stream.wire import ABORTED_TYPE


def chunks(body: bytes) -> list:
    lines = [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


async def test_an_answer_has_the_text_the_usage_and_one_id(stack):
    answer = await stack.chat("one two three")
    assert answer.status_code == 200
    body = answer.json()
    (choice,) = body["choices"]
    assert (body["object"], choice["finish_reason"]) == ("chat.completion", "stop")
    assert choice["message"] == {"role": "assistant", "content": "one two three", "refusal": None}
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    assert answer.headers.get_list("x-request-id") == [answer.headers["x-request-id"]]


async def test_a_stream_has_one_id_ends_with_done_and_has_the_usage_if_requested(stack):
    answer = await stack.chat("a b c d", stream=True, stream_options={"include_usage": True})
    *events, done = chunks(answer.content)
    assert done == "[DONE]"
    assert {event["id"] for event in events} == {events[0]["id"]}
    assert {event["created"] for event in events} == {events[0]["created"]}
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events[:-1])
    assert text == "a b c d"
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert [event["usage"] for event in events[:-1]] == [None] * (len(events) - 1)
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["total_tokens"] == 8


async def test_a_stream_has_no_usage_by_default(stack):
    answer = await stack.chat("a b", stream=True)
    assert all("usage" not in event for event in chunks(answer.content)[:-1])


@pytest.mark.parametrize(
    ("limit", "text", "reason"),
    [({"max_completion_tokens": 2}, "one two", "length"), ({"stop": ["two"]}, "one ", "stop")],
)
async def test_a_limit_and_a_stop_string_end_the_text(stack, limit, text, reason):
    (choice,) = (await stack.chat("one two three", **limit)).json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (text, reason)


async def test_text_parts_are_one_content(stack):
    answer = await stack.chat([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])
    assert answer.json()["choices"][0]["message"]["content"] == "a\nb"


async def test_a_plain_completion(stack):
    answer = await stack.client.post("/v1/completions", json={"model": "echo", "prompt": "x y"})
    assert answer.json()["choices"][0]["text"] == "x y"
    streamed = await stack.client.post("/v1/completions", json={"model": "echo", "prompt": "x y", "stream": True})
    *events, done = chunks(streamed.content)
    assert done == "[DONE]"
    assert "".join(event["choices"][0]["text"] for event in events) == "x y"


async def test_a_request_and_its_end_are_recorded_in_that_order(stack):
    sampling = {"temperature": 0.5, "seed": 7, "max_tokens": 50}
    answer = await stack.chat("my name is Ada", metadata={"conversation_id": "c1"}, **sampling)
    request, end = stack.records()
    name = answer.headers["x-request-id"]
    assert (request.id, end.id) == (f"{name}/request", f"{name}/end")
    assert request.correlationid == end.correlationid == name
    assert request.partitionkey == end.partitionkey
    assert (request.data.text, request.data.owed) == ("my name is Ada", ("pii", "injection"))
    assert (request.data.conversation_id, request.data.parameters["seed"]) == ("c1", 7)
    assert (end.data.status, end.data.text, end.data.finish_reason) == ("complete", "my name is Ada", "stop")
    assert end.data.owed == ("pii", "refusal")
    assert end.data.usage.completion_tokens == 4
    assert 0 < end.data.time_to_first_token_seconds <= end.data.latency_seconds
    for data in (request.data, end.data):
        assert (data.tenant, data.principal, data.model, data.model_version) == ("acme", "k_1", "echo", "echo")


async def test_the_limit_that_the_engine_uses_is_recorded(stack):
    answer = await stack.chat("a b c d", max_tokens=3, max_completion_tokens=1)
    request, end = stack.ended()
    assert (end.usage.completion_tokens, request.parameters) == (1, {"max_tokens": 1})
    assert answer.json()["choices"][0]["finish_reason"] == "length"


async def test_the_conversation_id_can_be_in_a_header(stack):
    stack.client.headers = dict(stack.client.headers) | {"x-weir-conversation-id": "c9 äö".encode()}
    await stack.chat("x")
    assert stack.records()[0].data.conversation_id == "c9 äö"


async def test_the_end_is_recorded_before_the_last_event(stack):
    """The end is in the spool before the client receives the event that ends the stream."""
    seen = []

    async def send(message):
        seen.append(
            (message.get("body", b""), message.get("more_body", False), read_balance(stack.home / "spool").accepted)
        )

    await drive(stack, "a b", send, stream=True)
    assert seen[-1] == (b"data: [DONE]\n\n", False, 2)
    assert seen[-2][2] == 1  # the chunk with the finish reason is sent before the end is recorded


async def test_a_whole_answer_is_sent_after_its_end_is_recorded(stack):
    accepted = []

    async def send(message):
        accepted.append(read_balance(stack.home / "spool").accepted)

    await drive(stack, "a b", send)
    assert accepted == [2, 2]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_disconnect_leaves_a_cancelled_end_with_the_text_so_far(stack, stream):
    text = "word " * 4_000
    begun = asyncio.Event()
    generate = stack.backend.generate

    async def watched(generation):
        async for item in generate(generation):
            begun.set()
            yield item

    stack.backend.generate = watched

    async def send(message):
        pass

    task = asyncio.create_task(drive(stack, text, send, stream=stream, max_tokens=4_000))
    await asyncio.wait_for(begun.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stack.engine.stats().running == 0
    request, end = stack.records()
    assert end.data.request_id == request.data.request_id
    assert (end.data.status, end.data.error.status) == ("cancelled", 499)
    assert end.data.text.startswith("word")
    assert len(end.data.text) < len(text)


async def test_a_client_that_reads_nothing_of_its_answer_is_cancelled(stack, caplog, monkeypatch):
    monkeypatch.setattr(http, "SEND_SECONDS", 0.05)
    sent = []

    async def send(message):
        sent.append(message)
        if len(sent) > 2:
            await asyncio.Event().wait()

    await asyncio.wait_for(drive(stack, "word " * 4_000, send, stream=True, max_tokens=4_000), 10)
    assert len(sent) == 3, "no more is sent"
    assert stack.engine.stats().running == 0
    _, end = stack.records()
    assert (end.data.status, end.data.error.kind) == ("cancelled", "client_stalled")
    assert end.data.text.startswith("word")
    assert "read nothing of its answer for 0.05 s, the limit. Its connection is closed." in caplog.text


async def test_a_client_that_reads_nothing_when_its_answer_fails_raises_no_error_in_the_server(stack, monkeypatch):
    monkeypatch.setattr(http, "SEND_SECONDS", 0.05)
    stack.backend.lose_after = 1
    sent = []

    async def send(message):
        sent.append(message)
        if len(sent) > 2:
            await asyncio.Event().wait()

    await asyncio.wait_for(drive(stack, "a b c d", send, stream=True), 10)
    assert b"model_replica_lost" in sent[-1]["body"]
    assert stack.records()[1].data.status == "aborted"


async def test_a_lost_replica_is_an_aborted_end_and_503(stack):
    stack.backend.lose_after = 0
    answer = await stack.chat("one two three")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["error"]["code"] == "model_replica_lost"
    _, end = stack.records()
    assert end.type == ABORTED_TYPE
    assert (end.data.status, end.data.text, end.data.owed) == ("aborted", "", ())


async def test_a_replica_lost_in_a_stream_is_an_error_event_without_done(stack):
    stack.backend.lose_after = 1
    answer = await stack.chat("one two three four", stream=True)
    events = chunks(answer.content)
    assert events[-1]["error"]["code"] == "model_replica_lost"
    _, end = stack.records()
    assert end.data.status == "aborted"
    assert end.data.text == "one"
    assert end.data.owed == ("pii", "refusal")


def answering(*choices):
    """Return a method `generate` that answers with one chunk for each choice."""

    async def generate(request):
        for choice in choices:
            yield {"choices": [choice]}

    return generate


async def test_an_answer_that_a_replica_does_not_finish_is_aborted(stack):
    stack.backend.generate = answering({"index": 0, "delta": {"content": "one"}})
    answer = await stack.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_replica_lost")
    assert stack.ended()[1].status == "aborted"


async def test_ignored_choices_are_logged(stack, caplog):
    stack.backend.generate = answering(
        {"index": 0, "delta": {"content": "one"}, "finish_reason": "stop"}, {"index": -1, "delta": {"content": "two"}}
    )
    assert (await stack.chat()).status_code == 200
    assert "1 pieces of choices or tool calls are not recorded: their index is invalid" in caplog.text


async def test_a_disconnect_after_the_end_is_recorded_changes_nothing(stack):
    async def send(message):
        if b"[DONE]" in message.get("body", b""):
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await drive(stack, "a b", send, stream=True)
    assert stack.ended()[1].status == "complete"
    ends = [
        stack.registry.get_sample_value("weir_inference_ends_total", {"status": name})
        for name in ("complete", "cancelled")
    ]
    assert [end or 0 for end in ends] == [1, 0]


async def test_a_stream_without_events_has_an_end(relay):
    stack = relay(Answer(DONE))
    answer = await stack.chat(stream=True)
    assert (answer.status_code, answer.text) == (200, "data: [DONE]\n\n")
    assert stack.ended()[1].status == "complete"


async def test_a_prompt_too_long_is_recorded_as_an_error(stack):
    answer = await stack.chat("w " * 8_191)
    assert answer.status_code == 400
    assert "together is 8192 tokens, and the prompt has at least 8192" in answer.json()["error"]["message"]
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    _, end = stack.records()
    assert (end.data.status, end.data.error.kind, end.data.error.status) == ("error", "context_length_exceeded", 400)


async def test_an_internal_error_is_a_500_and_an_error_end(stack, caplog):
    async def broken(request):
        raise ZeroDivisionError(request.body["messages"][0]["content"])
        yield

    stack.backend.generate = broken
    answer = await stack.chat("canary")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "canary" not in answer.text + caplog.text
    _, end = stack.records()
    assert (end.data.status, end.data.error.kind) == ("error", "ZeroDivisionError")
    assert stack.registry.get_sample_value("weir_inference_failures_total", {"gen_ai_request_model": "echo"}) == 1


async def test_a_full_replica_is_503_with_retry_after(make_stack):
    stack = make_stack(max_requests=0)
    answer = await stack.chat("x")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "queue_full"
    assert answer.headers["retry-after"] == "1"


async def test_a_full_gateway_rejects_before_it_reads_the_body(make_stack):
    stack = make_stack(capacity=0)
    sent = []

    async def receive():
        raise AssertionError("the body is not to be read")

    async def send(message):
        sent.append(message)

    await stack.gateway(post(stack), receive, send)
    start, body = sent
    assert (start["status"], dict(start["headers"])[b"retry-after"]) == (503, b"1")
    error = json.loads(body["body"])["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["type"]) == ("queue_full", "server_error")
    assert stack.records() == [], "a rejected request is not recorded"


async def test_a_body_that_does_not_arrive_is_408_and_frees_its_slot(make_stack, monkeypatch):
    monkeypatch.setattr(http, "BODY_SECONDS", 0.05)
    stack = make_stack(capacity=1)
    sent = []

    async def send(message):
        sent.append(message)

    await stack.gateway(post(stack), asyncio.Event().wait, send)
    assert (sent[0]["status"], json.loads(sent[1]["body"])["error"]["code"]) == (408, "request_timeout")
    _, page = timeout_page().split("\r\n\r\n")
    assert json.loads(sent[1]["body"]) == json.loads(page.replace("30 s", "0.05 s")), (
        "HAProxy's error page has the same text"
    )
    assert (await stack.chat("x")).status_code == 200


async def test_feedback_is_accepted_while_every_slot_is_taken(make_stack):
    stack = make_stack(capacity=0)
    answer = await stack.client.post("/v1/feedback", json={"request_id": "r1", "rating": "up"})
    assert answer.status_code == 202
    large = await stack.client.post("/v1/feedback", content=b"x" * 300_000)
    assert large.status_code == 413


async def test_a_full_spool_that_rejects_is_503_and_generates_nothing(make_stack):
    stack = make_stack(on_full="reject", limit_bytes=1024)
    answer = await stack.chat("x")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["error"]["code"] == "spool_full"
    assert stack.engine.stats().prompt_tokens_total == 0
    assert (await stack.client.get("/readyz")).status_code == 503


async def test_with_a_full_spool_that_sheds_requests_are_still_served(make_stack):
    stack = make_stack(on_full="shed", limit_bytes=1024)
    assert (await stack.chat("x")).status_code == 200


@pytest.mark.parametrize(
    ("most", "kept"), [(0, []), (6, ["three "]), (13, ["three four", "two"]), (12, ["three four", "tw"])]
)
async def test_the_record_of_an_answer_contains_the_end_of_its_prompt(make_stack, most, kept):
    stack = make_stack(context_characters=most)
    roles = zip(("system", "assistant", "user"), ("one", "two", "three four"), strict=True)
    answer = await stack.chat(messages=[{"role": role, "content": text} for role, text in roles])
    assert answer.status_code == 200
    _, end = stack.records()
    assert [message.text for message in reversed(end.data.context)] == kept


async def test_without_capture_nothing_is_recorded(make_stack):
    stack = make_stack(capture=False)
    assert (await stack.chat("x")).status_code == 200
    assert stack.records() == []


def post(stack) -> dict:
    headers = [(b"authorization", stack.client.headers["authorization"].encode())]
    return {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}


async def drive(stack, text, send, **fields) -> None:
    body = {"model": "echo", "messages": [{"role": "user", "content": text}]} | fields

    async def receive():
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    await stack.gateway(post(stack), receive, send)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_cannot_be_encoded_still_has_an_end(stack, stream):
    async def broken(request):
        yield {"choices": [{"index": 0, "delta": {"content": "\ud800"}, "finish_reason": "stop"}], "usage": {}}

    stack.backend.generate = broken
    with contextlib.suppress(UnicodeEncodeError):
        await stack.chat("hi", stream=stream)
    _, end = stack.records()
    assert end.data.request_id
    assert (end.data.messages, end.data.owed) == ((), ()), "a detector cannot check text that is not recorded"


async def test_a_spool_that_cannot_be_written_is_503_without_facts_of_the_operator(make_stack, monkeypatch):
    stack = make_stack(on_full="reject")
    monkeypatch.setattr(stack.recorder._running._segments, "append", Mock(side_effect=OSError(5, "Input/output error")))
    answer = (await stack.chat("x")).text
    assert ("or its disk fails" in answer, stack.recorder.source in answer) == (True, False)
