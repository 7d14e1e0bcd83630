import pytest
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import generate_latest
from support.conventions import departures, exported

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "a b c"}]}


async def test_the_records_continue_the_trace_of_the_client(stack):
    headers = {"traceparent": PARENT, "tracestate": "vendor=1"}
    answer = await stack.client.post("/v1/chat/completions", json=CHAT, headers=headers)
    spans = {span.name: span for span in stack.spans.get_finished_spans()}
    root, chat = spans["POST /v1/chat/completions"], spans["chat echo"]
    assert root.kind == SpanKind.SERVER
    assert f"{root.context.trace_id:032x}" == TRACE
    assert f"{root.parent.span_id:016x}" == "b7ad6b7169203331"
    assert chat.parent.span_id == root.context.span_id
    assert chat.context.trace_state.to_header() == "vendor=1"
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.usage.output_tokens"] == 3
    assert chat.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert chat.attributes["gen_ai.response.id"] == answer.json()["id"]
    assert chat.attributes["gen_ai.response.model"] == "echo@echo"
    assert root.attributes["http.response.status_code"] == 200
    events = stack.records()
    assert {event.traceparent for event in events} == {f"00-{TRACE}-{chat.context.span_id:016x}-01"}
    assert {event.tracestate for event in events} == {"vendor=1"}


async def test_spans_follow_the_semantic_conventions(stack):
    await stack.client.post("/v1/chat/completions", json=CHAT | {"temperature": 0.5, "seed": 7})
    await stack.client.post("/v1/completions", json={"model": "echo", "prompt": "a b", "stream": True})
    spans = exported(stack.spans.get_finished_spans())
    assert {span.name for span in spans if span.kind == "CLIENT"} == {"chat echo", "text_completion echo"}
    assert departures(spans) == []


async def test_a_long_conversation_id_is_shortened_in_the_span(stack):
    await stack.chat("x", metadata={"conversation_id": "c" * 256})
    chat = next(span for span in stack.spans.get_finished_spans() if span.name == "chat echo")
    assert chat.attributes["gen_ai.conversation.id"] == "c" * 250
    assert stack.records()[0].data.conversation_id == "c" * 256


async def test_an_invalid_traceparent_starts_a_new_trace(stack):
    await stack.client.post("/v1/chat/completions", json=CHAT, headers={"traceparent": "00-zz-1"})
    root = next(span for span in stack.spans.get_finished_spans() if span.kind == SpanKind.SERVER)
    assert root.parent is None


KEPT = f"a={'v' * 254},b={'v' * 253}"


@pytest.mark.parametrize("traceparent", [PARENT, f"00-{TRACE}-b7ad6b7169203331-00"], ids=["sampled", "not sampled"])
@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (KEPT, KEPT),
        (f"{KEPT}v", ""),
        ("k=" + "v" * 110_000, ""),
        (" vendor=1 ,, other=2", "vendor=1,other=2"),
        ("vendor=1,secret member", ""),
        ("vendor=1,vendor=secret", ""),
        (",".join(f"secret{number}=1" for number in range(33)), ""),
        ("vendor=s\u00e9cret", ""),
    ],
    ids=["512 bytes", "513 bytes", "110 kB", "spaces", "no member", "a key twice", "33 members", "no ASCII"],
)
async def test_a_tracestate_is_kept_up_to_512_valid_bytes(stack, caplog, sent, kept, traceparent):
    headers = {"traceparent": traceparent, "tracestate": sent}
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    assert (await stack.client.post("/v1/chat/completions", json=CHAT, headers=encoded)).status_code == 200
    events = stack.records()
    assert [(event.traceparent[3:35], event.traceparent[-2:]) for event in events] == [(TRACE, traceparent[-2:])] * 2
    assert {event.tracestate for event in events} == {kept}
    assert {span.context.trace_state.to_header() for span in stack.spans.get_finished_spans()} <= {kept}
    assert "secret" not in caplog.text
    assert "s\u00e9cret" not in caplog.text


async def test_a_tracestate_without_a_valid_traceparent_is_dropped(stack):
    headers = {"traceparent": f"{PARENT}-more", "tracestate": "vendor=1"}
    await stack.client.post("/v1/chat/completions", json=CHAT, headers=headers)
    events = stack.records()
    assert {event.tracestate for event in events} == {""}
    assert TRACE not in {event.traceparent[3:35] for event in events}


async def test_a_lost_replica_fails_the_span_with_its_error_type(stack):
    stack.backend.lose_after = 0
    await stack.client.post("/v1/chat/completions", json=CHAT)
    chat = next(span for span in stack.spans.get_finished_spans() if span.name == "chat echo")
    assert chat.status.status_code == StatusCode.ERROR
    assert chat.attributes["error.type"] == "model_replica_lost"
    assert not chat.events  # the message of an exception can contain text of the request
    descriptions = {span.status.description for span in stack.spans.get_finished_spans()}
    assert descriptions == {"model_replica_lost"}


async def test_spans_of_an_internal_error_have_its_class_and_not_its_message(stack):
    async def broken(request):
        raise ZeroDivisionError(request.body["messages"][0]["content"])
        yield

    stack.backend.generate = broken
    await stack.chat("canary")
    chat, root = stack.spans.get_finished_spans()
    assert (chat.name, root.name) == ("chat echo", "POST /v1/chat/completions")
    for span in (chat, root):
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "ZeroDivisionError")
        assert span.attributes["error.type"] == "ZeroDivisionError"
    assert root.attributes["http.response.status_code"] == 500


async def test_a_request_that_capture_rejects_fails_its_span(make_stack):
    stack = make_stack(on_full="reject", limit_bytes=1024)
    await stack.chat("canary")
    chat = next(span for span in stack.spans.get_finished_spans() if span.name == "chat echo")
    assert (chat.status.status_code, chat.attributes["error.type"]) == (StatusCode.ERROR, "spool_full")


@pytest.mark.parametrize("lose_after", [0, 1], ids=["before the stream", "in the stream, after status 200"])
async def test_a_failed_request_counts_for_its_model(stack, lose_after):
    await stack.client.post("/v1/chat/completions", json=CHAT)
    stack.backend.lose_after = lose_after
    answer = await stack.client.post("/v1/chat/completions", json=CHAT | {"stream": True})
    assert answer.status_code == (200 if lose_after else 503)
    assert stack.registry.get_sample_value("weir_inference_failures_total", {"gen_ai_request_model": "echo"}) == 1


async def test_metrics_have_the_names_of_the_semantic_conventions(stack):
    await stack.client.post("/v1/chat/completions", json=CHAT)
    await stack.client.post("/v1/chat/completions", json=CHAT | {"n": 30})
    text = generate_latest(stack.registry).decode()
    labels = 'gen_ai_operation_name="chat",gen_ai_request_model="echo"'
    assert f'gen_ai_server_request_duration_seconds_count{{error_type="",{labels}}} 1.0' in text
    assert f"gen_ai_server_time_to_first_token_seconds_count{{{labels}}} 1.0" in text
    assert f'gen_ai_client_token_usage_sum{{{labels},gen_ai_token_type="output"}} 3.0' in text
    assert 'weir_http_requests_total{route="/v1/chat/completions",status="200"} 1.0' in text
    assert 'weir_http_requests_total{route="/v1/chat/completions",status="400"} 1.0' in text
    assert 'weir_inference_ends_total{status="complete"} 1.0' in text
    assert "weir_http_requests_in_flight 0.0" in text


async def test_the_records_of_a_chat_without_a_conversation_id_have_the_same_digests_of_its_turns(stack):
    first = [{"role": "user", "content": "a"}]
    second = [*first, {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]
    for fields in (
        {"messages": first},
        {"messages": second},
        {"messages": first, "metadata": {"conversation_id": "c"}},
    ):
        await stack.chat(**fields)
    turns = [event.data.turns for event in stack.records()]
    assert turns[::2] == turns[1::2]
    assert [len(each) for each in turns[::2]] == [1, 2, 0]
    assert turns[2][1:] == turns[0]
