"""OTLP from HTTP to the spool: encodings, layouts, halves and duplicates."""

import asyncio
import gzip
import hashlib
import itertools
import json
import time

import pytest
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from support.cases import cases
from support.intake import intake
from support.otlp import JSON, PROTOBUF, SPAN_ID, TRACE_ID, encoded, log, logs, span, traces

from serving.settings import CaptureSettings
from stream.wire import BlobPart, ErrorInfo, ToolCallPart, Usage
from stream.wire.trace import TraceParent

CASES = cases(__file__)
INPUT = [{"role": "user", "parts": [{"type": "text", "content": "Mail me at ann.lee@example.org"}]}]
OUTPUT = [{"role": "assistant", "parts": [{"type": "text", "content": "ho"}], "finish_reason": "stop"}]
SPAN_WITHOUT_CONTENT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt",
    "gen_ai.response.model": "gpt-2026",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.request.seed": 7,
    "gen_ai.usage.input_tokens": 14,
    "gen_ai.usage.output_tokens": 6,
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.conversation.id": "c-9",
}
CONTENT = {"gen_ai.input.messages": json.dumps(INPUT), "gen_ai.output.messages": json.dumps(OUTPUT)}
CHAT = SPAN_WITHOUT_CONTENT | CONTENT
USER = log("gen_ai.user.message", {"content": "Mail me at ann.lee@example.org"})
CHOICE = log("gen_ai.choice", {"index": 0, "message": {"content": "ho"}, "finish_reason": "stop"})


async def sent(running, export, kind=PROTOBUF, **options):
    path = "/v1/traces" if "resourceSpans" in export else "/v1/logs"
    headers = {"content-type": kind} | options.pop("headers", {})
    return await running.sent(path, content=encoded(export, kind), headers=headers, **options)


def rejected_json(answer):
    return int(answer.json()["partialSuccess"]["rejectedSpans"])


def items(running, outcome):
    return running.count("weir_intake_items_total", format="otlp", outcome=outcome)


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
@pytest.mark.parametrize("compressed", [False, True])
async def test_a_span_of_an_inference_is_an_exchange(running, kind, compressed):
    body = encoded(traces(span(CHAT)), kind)
    headers = {"content-type": kind} | ({"content-encoding": "gzip"} if compressed else {})
    answer = await running.sent("/v1/traces", content=gzip.compress(body) if compressed else body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.content == (b"{}" if kind == JSON else b"")
    request, end = running.only()
    (event, _) = running.events()
    (own,) = running.exporter.get_finished_spans()
    assert (request.tenant, request.model, request.model_version) == ("acme", "gpt", "gpt-2026")
    assert (request.conversation_id, request.operation) == ("c-9", "chat")
    assert request.parameters == {"temperature": 0.5, "seed": 7}
    assert (request.text, request.owed) == ("Mail me at ann.lee@example.org", ("pii", "toxicity"))
    assert (end.text, end.finish_reason, end.status, end.owed) == ("ho", "stop", "complete", ("pii",))
    assert (end.usage, end.latency_seconds) == (Usage(prompt_tokens=14, completion_tokens=6), 1.5)
    assert TraceParent.parse(event.traceparent).trace_id == TRACE_ID
    assert f"{own.parent.span_id:016x}" == SPAN_ID


@pytest.mark.parametrize(("attributes", "messages", "choices", "tools"), CASES["layouts"])
async def test_all_layouts_of_content_are_read(running, attributes, messages, choices, tools):
    assert (await sent(running, traces(span(attributes)))).status_code == 200
    request, end = running.only()
    assert [[one.role, [part.text or part.digest[:8] for part in one.parts]] for one in request.messages] == messages
    assert [[one.finish_reason, [part.text for part in one.parts]] for one in end.messages] == choices
    assert [[tool.name, tool.parameters] for tool in request.tools] == tools


OPTED_OUT = [
    {"llm.invocation_parameters": json.dumps({"metadata": {"training": "false"}})},
    {"metadata": json.dumps({"training": False})},
    {"traceloop.association.properties.training": "false"},
]


@pytest.mark.parametrize("attributes", OPTED_OUT)
async def test_a_request_that_must_not_be_used_for_training_is_marked(tmp_path, attributes):
    async with intake(tmp_path / "home") as running:
        await sent(running, traces(span(CHAT | attributes)))
        assert running.only()[0].training is False
    async with intake(tmp_path / "joined") as running:
        await sent(running, logs(USER, CHOICE))
        await sent(running, traces(span(SPAN_WITHOUT_CONTENT | attributes)))
        assert running.only()[0].training is False


@pytest.mark.parametrize(("attributes", "outcome"), CASES["not_recorded"])
async def test_spans_that_are_no_inference_or_have_no_content_are_counted_and_acknowledged(
    running, attributes, outcome
):
    answer = await sent(running, traces(span(attributes), span(CHAT, span_id="aaaaaaaaaaaaaaaa")))
    assert (answer.status_code, answer.content) == (200, b"")
    assert items(running, outcome) == 1
    running.only()


async def test_a_retry_is_a_duplicate_and_a_tenant_has_its_own_spans(running):
    await sent(running, traces(span(CHAT)))
    await sent(running, traces(span(CHAT)), kind=JSON)
    assert (items(running, "accepted"), items(running, "repeated")) == (1, 1)
    await sent(running, traces(span(CHAT)), key="weir-other-key")
    assert {request.tenant for request, _ in running.exchanges().values()} == {"acme", "other"}


@pytest.mark.parametrize("span_first", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        [logs(USER, CHOICE)],
        [logs(USER), logs(CHOICE)],
        [logs(CHOICE), logs(USER)],
        [logs(log("gen_ai.client.inference.operation.details", attributes=CHAT))],
        [
            logs(
                log(
                    "",
                    {"message": {"content": "ho"}, "finish_reason": "stop"},
                    attributes={"event.name": "gen_ai.choice"},
                ),
                USER,
            )
        ],
    ],
    ids=["one export", "two exports", "the answer first", "one event", "names in attributes"],
)
async def test_a_span_and_its_log_records_are_joined(running, content, span_first):
    exports = [traces(span(SPAN_WITHOUT_CONTENT)), *content]
    for export in exports if span_first else (*content, exports[0]):
        assert running.events() == []
        assert (await sent(running, export)).status_code == 200
    request, end = running.only()
    assert (
        running.registry.get_sample_value("weir_intake_held_halves"),
        (await sent(running, content[0])).status_code,
    ) == (0, 200)
    assert len(running.exchanges()) == 1
    assert (request.model, request.text, request.conversation_id) == ("gpt", "Mail me at ann.lee@example.org", "c-9")
    assert (end.text, end.finish_reason, end.latency_seconds) == ("ho", "stop", 1.5)
    assert end.usage == Usage(prompt_tokens=14, completion_tokens=6)


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
async def test_the_bytes_of_an_image_are_recorded_by_digest(running, kind):
    blob = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": b"PNG"}
    attributes = {"gen_ai.input.messages": [{"role": "user", "parts": [blob]}]}
    event = log("gen_ai.client.inference.operation.details", attributes=attributes)
    await sent(running, logs(event), kind=kind)
    await sent(running, traces(span(SPAN_WITHOUT_CONTENT)))
    request, _ = running.only()
    digest = hashlib.sha256(b"PNG").hexdigest()
    assert request.messages[0].parts == (BlobPart(modality="image", digest=digest, size=3, mime_type="image/png"),)


async def test_a_span_waits_for_all_its_choices_and_keeps_their_order(running):
    texts = [f"choice {number}" for number in range(6)]
    await sent(running, logs(USER))
    await sent(running, traces(span(SPAN_WITHOUT_CONTENT | {"gen_ai.request.choice.count": 6})))
    for index, text in enumerate(texts):
        assert running.events() == []
        await sent(running, logs(log("gen_ai.choice", {"index": index, "message": {"content": text}})))
    assert [choice.text for choice in running.only()[1].messages] == texts


async def test_log_records_of_a_span_that_has_the_content_itself_add_nothing(running):
    event = logs(log("gen_ai.client.inference.operation.details", attributes=CHAT))
    for export in (event, traces(span(CHAT)), event):
        assert (await sent(running, export)).status_code == 200
    assert (running.registry.get_sample_value("weir_intake_held_halves"), items(running, "repeated")) == (0, 1)
    assert len(running.only()[0].messages) == 1


async def test_messages_of_each_role_are_read_from_log_records(running):
    roles = ("developer", "user", "function")
    await sent(running, logs(*(log(f"gen_ai.{role}.message", {"content": f"of {role}"}) for role in roles), CHOICE))
    await sent(running, traces(span(SPAN_WITHOUT_CONTENT)))
    request, _ = running.only()
    assert [(one.role, one.parts[0].text) for one in request.messages] == [(role, f"of {role}") for role in roles]


async def test_openllmetrys_events_have_tool_calls_beside_the_message(running):
    call = {"id": "c1", "type": "function", "function": {"name": "get", "arguments": "{}"}}
    choice = log("gen_ai.choice", {"message": {"content": None}, "tool_calls": [call], "finish_reason": "tool_calls"})
    await sent(running, logs(USER, choice))
    await sent(running, traces(span(SPAN_WITHOUT_CONTENT)))
    _, end = running.only()
    assert end.messages[0].parts == (ToolCallPart(name="get", arguments="{}", id="c1"),)


async def test_halves_survive_a_restart_and_a_retry_adds_nothing(tmp_path):
    async with intake(tmp_path / "home") as running:
        await sent(running, logs(USER))
        await sent(running, logs(USER))
        assert running.registry.get_sample_value("weir_intake_held_halves") == 1
    async with intake(tmp_path / "home") as running:
        await sent(running, traces(span(SPAN_WITHOUT_CONTENT)))
        await sent(running, logs(CHOICE))
        request, _ = running.only()
    assert len(request.messages) == 1


async def test_a_half_that_waited_too_long_is_recorded_if_it_has_content(tmp_path):
    failed = span(
        SPAN_WITHOUT_CONTENT | {"error.type": "RateLimitError"},
        span_id="aaaaaaaaaaaaaaaa",
        status={"code": 2, "message": "the prompt was quoted here"},
    )
    async with intake(tmp_path / "home", pair_seconds=1e-9) as running:
        await sent(running, traces(span(SPAN_WITHOUT_CONTENT), failed))
        await sent(running, logs(USER | {"spanId": "aaaaaaaaaaaaaaaa"}, USER | {"spanId": "bbbbbbbbbbbbbbbb"}))
        assert await running.pairer.record_overdue() == 1
        assert running.registry.get_sample_value("weir_intake_held_halves") == 0
        ends = {request.model: end for request, end in running.exchanges().values()}
    assert (ends["gpt"].status, ends["gpt"].error) == ("error", ErrorInfo(kind="RateLimitError", status=500))
    assert ends["unknown"].error == ErrorInfo(kind="no_answer_told", status=502)
    assert "quoted" not in repr(ends)


async def test_a_late_answer_is_joined_with_its_span(tmp_path):
    async with intake(tmp_path / "home", pair_seconds=1e-9) as running:
        await sent(running, logs(USER))
        await running.pairer.record_overdue()
        await sent(running, logs(CHOICE))
        await sent(running, traces(span(SPAN_WITHOUT_CONTENT)))
        await running.pairer.record_overdue()
        _, (request, end) = running.exchanges().values()
    assert (request.model, end.status, end.text, end.latency_seconds) == ("gpt", "complete", "ho", 1.5)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("in_time", [1, 2])
async def test_a_part_that_arrives_after_the_time_limit_is_recorded_once(tmp_path, order, in_time):
    exports = logs(USER), logs(CHOICE), traces(span(SPAN_WITHOUT_CONTENT))
    async with intake(tmp_path / "home", pair_seconds=1e-9) as running:
        for place in order[:in_time]:
            await sent(running, exports[place])
        await running.pairer.record_overdue()
        for place in order[in_time:] + order:  # then an exporter sends all again
            await sent(running, exports[place])
            if place == order[-1]:
                await running.pairer.record_overdue()
        found = [(request.text, end.text) for request, end in running.exchanges().values()]
        events = running.events()
    assert sorted("".join(texts) for texts in zip(*found, strict=True)) == ["Mail me at ann.lee@example.org", "ho"]
    assert len({event.id for event in events}) == len(events)


async def test_dropped_spans_are_counted(tmp_path):
    async with intake(tmp_path / "home", pair_seconds=0.01) as running:
        stop = asyncio.Event()
        task = asyncio.create_task(running.app.run(stop))
        await sent(running, traces(span(SPAN_WITHOUT_CONTENT)))
        async with asyncio.timeout(10):
            while not items(running, "no_content"):  # noqa: ASYNC110 - a counter has no event
                await asyncio.sleep(0.02)
        stop.set()
        await task
        assert running.events() == []


async def test_log_records_in_too_many_exports_are_rejected(running):
    for number in range(65):
        messages = [log("gen_ai.user.message", {"content": f"{word} {number}"}) for word in ("hi", "and", "bye")]
        answer = await sent(running, logs(*messages))
    partial = ExportLogsServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, partial.rejected_log_records) == (200, 3)
    assert "64 exports, the limit" in partial.error_message


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
async def test_half_a_character_in_one_span_loses_no_other_span(running, kind):
    half = {
        PROTOBUF: b"\xed\xa0\xbd",  # as protobuf.js encodes it
        JSON: rb"\ud83d",
    }
    note = {"note": "cut half"}
    body = encoded(traces(span(CHAT), span(CHAT | note, span_id="b7ad6b7169203332")), kind)
    body = body.replace(b"cut half", half[kind].ljust(8) if kind == PROTOBUF else half[kind])
    answer = await running.sent("/v1/traces", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.content) == (200, b"" if kind == PROTOBUF else b"{}")
    assert len(running.exchanges()) == 2
    assert {event.traceparent.split("-")[1] for event in running.events()} == {TRACE_ID}


@pytest.mark.parametrize("text", ["cut \ud83d", "{"])
async def test_half_a_character_in_a_message_keeps_the_roles(running, text):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    await sent(running, traces(span(CHAT | {"gen_ai.input.messages": json.dumps(messages)})))
    request, _ = running.only()
    assert [(message.role, message.text) for message in request.messages] == [
        ("system", "Be brief."),
        ("user", text.replace("\ud83d", "?")),
    ]


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
async def test_rejected_spans_are_counted_in_the_answer_and_the_others_recorded(running, kind):
    invalid = span(CHAT, traceId="0" * 32)
    long = span(CHAT | {"gen_ai.request.model": "m" * 257}, span_id="aaaaaaaaaaaaaaaa")
    large = span(CHAT | {"gen_ai.usage.input_tokens": 2**60}, span_id="cccccccccccccccc")
    answer = await sent(running, traces(invalid, long, large), kind=kind)
    message = ExportTraceServiceResponse()
    if kind == JSON:
        json_format.Parse(answer.content, message)
    else:
        message.ParseFromString(answer.content)
    assert (answer.status_code, message.partial_success.rejected_spans) == (200, 2)
    assert "no valid trace id" in message.partial_success.error_message
    assert "prompt_tokens is 1152921504606846976 and is left out" in message.partial_success.error_message
    assert running.only()[1].usage == Usage(completion_tokens=6)


async def test_other_requests_are_answered_while_a_large_body_is_decoded(running):
    body = b'{"resourceSpans": [{"scopeSpans": [{"spans": [%s]}]}]}' % b",".join([b"{}"] * 100_000)
    headers = {"content-type": JSON}
    export = asyncio.create_task(running.sent("/v1/traces", content=body, headers=headers))
    ticks = [time.monotonic()]
    while not export.done():
        await asyncio.sleep(0.01)
        ticks.append(time.monotonic())
    assert rejected_json(await export) == 100_000
    longest = max(after - before for before, after in itertools.pairwise(ticks))
    assert longest < (ticks[-1] - ticks[0]) / 3


async def test_a_full_spool_is_503_and_a_retry_records_the_rest(tmp_path):
    tight = CaptureSettings(limit_bytes=160_000, end_reserve_bytes=30_000, segment_bytes=20_000)
    long = [{"role": "assistant", "parts": [{"type": "text", "content": "x" * 20_000}]}]
    attributes = CHAT | {"gen_ai.output.messages": json.dumps(long)}
    batch = traces(*(span(attributes, span_id=f"{number:016x}") for number in range(1, 9)))
    async with intake(tmp_path / "home", capture=tight) as running:
        answer = await sent(running, batch)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "The items cannot be recorded now" in Status.FromString(answer.content).message
        assert 0 < len(running.exchanges()) < 8
    async with intake(tmp_path / "home") as running:
        assert (await sent(running, batch)).status_code == 200
        assert len(running.exchanges()) == 8


async def test_waiting_halves_are_bounded(tmp_path):
    async with intake(tmp_path / "home", held_limit=1) as running:
        await sent(running, logs(USER))
        assert (await sent(running, logs(USER | {"spanId": "aaaaaaaaaaaaaaaa"}))).status_code == 503
        await sent(running, traces(span(SPAN_WITHOUT_CONTENT)))
        assert (await sent(running, logs(CHOICE))).status_code == 200
        running.only()


async def test_the_time_to_the_first_token_of_a_stream_is_recorded(running):
    events = [{"name": "First Token Stream Event", "timeUnixNano": "1767225600500000000"}]
    measured = CHAT | {"gen_ai.response.time_to_first_chunk": 0.25, "gen_ai.request.stream": True}
    await sent(running, traces(span(CHAT, events=events), span(measured, span_id="aaaaaaaaaaaaaaaa")))
    found = running.exchanges().values()
    assert {(request.stream, end.time_to_first_token_seconds) for request, end in found} == {(True, 0.5), (True, 0.25)}


async def test_no_text_is_in_a_span_or_an_answer(running):
    named = CHAT | {"error.type": "Mail me at ann.lee@example.org"}
    answer = await sent(running, traces(span(named, status={"code": 2, "message": "ann.lee"}), span({}, spanId="00")))
    assert "ann.lee" not in answer.text
    assert "ann.lee" not in repr([one.to_json() for one in running.exporter.get_finished_spans()])
    assert running.only()[1].error == ErrorInfo(kind="unknown", status=500)
