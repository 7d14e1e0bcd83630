"""Real applications with real instrumentations and exporters, a stub provider, and a real intake process."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from support import stack
from support.gateway import KEY
from support.intake import exchanges, intake_component, spooled
from support.stub_provider import ANSWER, ARGUMENTS, stub_provider

from stream.wire import BlobPart, RequestRecord, TextPart, ToolCallPart, ToolResponsePart, TraceParent, Usage

APPLICATION = Path(stack.__file__).with_name("otel_application.py")
PROMPT = "Mail me at ann.lee@example.org"
CHATS = {"plain", "streamed", "tool", "streamed-tool", "result", "two", "image", "broken"}
IMAGE = BlobPart(
    modality="image", digest=hashlib.sha256(b"\x89PNG\r\n\x1a\n").hexdigest(), size=8, mime_type="image/png"
)
SETTINGS = {"WEIR_DETECTORS__INPUT": '["pii"]', "WEIR_DETECTORS__OUTPUT": '["pii"]', "WEIR_INTAKE__PAIR_SECONDS": "2"}


V2, LATEST = "opentelemetry.instrumentation.openai_v2", "gen_ai_latest_experimental"
#: The module of each instrumentation, and its two variables: which content to capture, and which version of the conventions.
INSTRUMENTATIONS = {
    "openai-v2": (V2, "true", ""),
    "openai-v2-latest": (V2, "span_only", LATEST),
    "openai-v2-events": (V2, "event_only", LATEST),
    "openai-v2-without-content": (V2, "false", ""),
    "openinference": ("openinference.instrumentation.openai", "", ""),
    "openllmetry": ("opentelemetry.instrumentation.openai", "", ""),
}


def export(name, intake_url, key=KEY):
    """Run the application with an instrumentation until it has exported everything; return its log."""
    module, content, conventions = INSTRUMENTATIONS[name]
    environment = os.environ | {
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": content,
        "OTEL_SEMCONV_STABILITY_OPT_IN": conventions,
        "OTEL_EXPORTER_OTLP_ENDPOINT": intake_url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{key}",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    }
    with stub_provider() as provider:
        command = [sys.executable, str(APPLICATION), module, provider]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=True)
    return ended.stderr


def recorded(home):
    """Return {model: (request, end)}; a request without an end is not yet recorded."""
    if len(spooled(home)) % 2:
        return {}
    return {request.model: (request, end) for request, end in exchanges(home).values()}


def items(metrics, outcome):
    line = f'weir_intake_items_total{{format="otlp",outcome="{outcome}"}} '
    answer = httpx.get(f"{metrics}/metrics", verify=False)  # reads no certificates
    found = [one for one in answer.text.splitlines() if one.startswith(line)]
    return float(found[0].removeprefix(line)) if found else 0


def parts(record):
    return [part for message in record.messages for part in message.parts]


@pytest.mark.parametrize(
    ("name", "others", "has_tools", "has_image"),
    [
        ("openai-v2", set(), False, True),
        ("openai-v2-latest", set(), False, False),
        ("openai-v2-events", set(), False, False),
        ("openinference", {"response"}, True, True),
        ("openllmetry", {"response"}, True, False),
    ],
)
def test_each_call_of_an_application_is_an_exchange(tmp_path, name, others, has_tools, has_image):
    home = tmp_path / "home"
    with intake_component(home, SETTINGS) as (_, url, metrics):
        assert export(name, url) == ""
        stack.until("all calls are recorded", lambda: recorded(home).keys() >= CHATS | others, seconds=20)
        assert items(metrics, "other") == 2  # the span of the application itself, and the embeddings
        found = recorded(home)
    assert found.keys() == CHATS | others

    request, end = found["plain"]
    assert [(message.role, message.text) for message in request.messages] == [
        ("system", "Answer in one sentence."),
        ("user", PROMPT),
    ]
    assert (request.tenant, request.principal, request.model_version) == ("acme", "k_1", "plain-2026")
    assert request.parameters.items() >= {"temperature": 0.2, "max_tokens": 64}.items()
    assert (request.operation, request.owed, end.owed) == ("chat", ("pii",), ("pii",))
    assert (end.text, end.finish_reason, end.status) == (ANSWER, "stop", "complete")
    assert end.usage == Usage(prompt_tokens=14, completion_tokens=6)
    assert 0 < end.latency_seconds < 60
    assert found["streamed"][1].text == f"{ANSWER} "

    for model in ("tool", "streamed-tool"):
        request, end = found[model]
        (call,) = [part for part in parts(end) if isinstance(part, ToolCallPart)]
        assert (call.name, call.id, json.loads(call.arguments)) == ("get_weather", "call_1", json.loads(ARGUMENTS))
        assert [tool.name for tool in request.tools] == (["get_weather"] if has_tools else [])
    user, call, result = parts(found["result"][0])
    assert (user, result) == (TextPart(content=PROMPT), ToolResponsePart(response="-3", id="call_1"))
    assert (call.name, call.id) == ("get_weather", "call_1")
    assert [choice.text for choice in found["two"][1].messages] == [ANSWER, ANSWER]
    assert parts(found["image"][0]) == ([TextPart(content="What is it?"), IMAGE] if has_image else [])

    request, end = found["broken"]
    assert (request.messages[0].text, end.status, end.messages) == (PROMPT, "error", ())
    assert (end.error.kind.rpartition(".")[2], end.error.status) == ("InternalServerError", 500)
    assert "quoted" not in repr(found)
    assert len({TraceParent.parse(event.traceparent).trace_id for event in spooled(home, RequestRecord)}) == 1


def test_spans_of_an_application_that_exports_no_content_are_counted(tmp_path):
    home = tmp_path / "home"
    with intake_component(home, SETTINGS) as (_, url, metrics):
        assert export("openai-v2-without-content", url) == ""
        stack.until("the spans are dropped", lambda: items(metrics, "no_content") >= len(CHATS), seconds=20)
        assert spooled(home) == []


def test_an_exporter_with_a_wrong_key_logs_the_reason(tmp_path):
    with intake_component(tmp_path / "home", SETTINGS) as (_, url, _):
        assert "401" in export("openinference", url, key="wrong")
    assert spooled(tmp_path / "home") == []
