"""Bodies that would need many times their size in memory are rejected before they are decoded."""

import json
import subprocess
import sys
import threading

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.intake import intake, litellm_payload
from support.otlp import JSON, PROTOBUF, encoded, span, traces

from serving.errors import UnreadablePayload
from serving.intake import app, body_values
from serving.intake.body_values import check_json, check_protobuf
from serving.intake.litellm import payloads

DESCRIPTOR = ExportTraceServiceRequest.DESCRIPTOR
SIZE = 16 * 1024**2 - 1024


@pytest.fixture
def few(monkeypatch):
    """Check bodies of any size, and allow 10 values."""
    monkeypatch.setattr(body_values, "_CHECKED_BYTES", 0)
    monkeypatch.setattr(body_values, "MAX_VALUES", 10)


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        (b"[" + b"{}," * 9 + b"1]", 10),
        (b"[" * 10, 10),
        (b'{"a": ["b", "c", 1, 2, 3, null, {"d": 1.5}]}', 7),
        (rb'["[{\"[{\\", "' + b"[{" * 99 + b'"]', 3),
        (rb'["\"[[[[[[[[[[[[[[', 2),
        (b'["' + rb"\"" * 9, 2),
        (b'["\\', 2),
        ('["\u00e9[[[[[[[[[[["]'.encode(), 2),
    ],
)
def test_json_texts_objects_and_lists_are_counted(few, monkeypatch, raw, values):
    monkeypatch.setattr(body_values, "MAX_VALUES", values)
    check_json(raw)
    monkeypatch.setattr(body_values, "MAX_VALUES", values - 1)
    with pytest.raises(UnreadablePayload, match=f"{len(raw)} bytes have more than {values - 1} texts"):
        check_json(raw)


def test_protobuf_fields_are_counted_in_all_messages(few, monkeypatch):
    body = encoded(traces(span({"a": "b", "c": ["d", 1]}), span({})))
    # A span has 6 fields. The two attributes have 4 and 8; resource, scope and two spans are 4.
    fields = 4 + 2 * 6 + 4 + 8
    monkeypatch.setattr(body_values, "MAX_VALUES", fields + 1)
    check_protobuf(body, DESCRIPTOR)
    monkeypatch.setattr(body_values, "MAX_VALUES", fields - 1)
    with pytest.raises(UnreadablePayload, match=f"more than {fields - 1} fields"):
        check_protobuf(body, DESCRIPTOR)


def test_truncated_or_changed_protobuf_is_no_internal_error(few, monkeypatch):
    monkeypatch.setattr(body_values, "MAX_VALUES", 1000)
    body = encoded(traces(span({"a": {"b": [1, 2.5, "c"]}})))
    check_protobuf(body, DESCRIPTOR)
    for cut in range(1, len(body)):
        with pytest.raises(UnreadablePayload, match="are not OTLP"):
            check_protobuf(body[:cut], DESCRIPTOR)
    deep = b""
    for _ in range(200):  # a list in a list: array_value, values
        deep = b"\x2a" + _sized(b"\x0a" + _sized(deep))
    value = b"\x4a" + _sized(b"\x12" + _sized(deep))
    with pytest.raises(UnreadablePayload, match="are not OTLP"):
        check_protobuf(b"\x0a" + _sized(b"\x12" + _sized(b"\x12" + _sized(value))), DESCRIPTOR)
    for number in range(256):
        with pytest.raises(UnreadablePayload):
            check_protobuf(b"\xff" * 9 + bytes([number]), DESCRIPTOR)


def test_a_number_in_protobuf_has_at_most_10_bytes(few):
    """The parser of Protobuf rejects longer numbers, too. To read them would take quadratic time: hours for 16 MiB."""
    check_protobuf(b"\x08" + b"\x80" * 9 + b"\x00", DESCRIPTOR)
    with pytest.raises(UnreadablePayload, match="are not OTLP"):
        check_protobuf(b"\x08" + b"\x80" * 10 + b"\x00", DESCRIPTOR)


def _sized(content: bytes) -> bytes:
    size, head = len(content), bytearray()
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*head, size]) + content


def _inside_a_span(content: bytes) -> bytes:
    return b"\x0a" + _sized(b"\x12" + _sized(b"\x12" + _sized(content)))


_SPANS = b'{"resourceSpans":[{"scopeSpans":[{"spans":[%s{}]}]}]}'
BOMBS = {
    "spans": (PROTOBUF, lambda: b"\x0a" + _sized(b"\x12" + _sized(b"\x12\x00" * (SIZE // 2)))),
    "links": (PROTOBUF, lambda: _inside_a_span(b"\x6a\x00" * (SIZE // 2))),
    "events": (PROTOBUF, lambda: _inside_a_span(b"\x5a\x00" * (SIZE // 2))),
    "spans as JSON": (JSON, lambda: _SPANS % (b"{}," * (SIZE // 3))),
    "unknown fields": (JSON, lambda: b'{"x":[%s0]}' % (b'{"":0},' * (SIZE // 7))),
}
#: A program that decodes an export with at most 64 MiB of address space more than after it has read the body.
_SCRIPT = """
import re, resource, sys
from pathlib import Path
from serving.errors import UnreadablePayload
from serving.intake.otlp import spans_of

body = sys.stdin.buffer.read()
size = 1024 * int(re.search(r"VmSize:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.RLIMIT_AS, (size + 64 * 1024**2,) * 2)
try:
    list(spans_of({"content-type": sys.argv[1]}, body))
except UnreadablePayload as error:
    print(error)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_body_of_empty_values_is_rejected_in_little_memory(name):
    kind, make = BOMBS[name]
    done = subprocess.run([sys.executable, "-c", _SCRIPT, kind], input=make(), capture_output=True, check=False)
    assert b"bytes have more than 1000000 " in done.stdout, done.stderr[-2000:]


def test_the_number_of_lines_from_litellm_is_limited():
    with pytest.raises(UnreadablePayload, match="more than 1000000 lines"):
        next(payloads(b"{" + b"\n" * 1_000_001 + b"}"))


async def test_all_formats_reject_too_many_values_and_the_intake_continues(tmp_path, few, monkeypatch):
    monkeypatch.setattr(body_values, "MAX_VALUES", 200)
    bomb = b"[" + b"{}," * 300 + b"{}]"
    messages = json.dumps([{"role": "user", "content": [{} for _ in range(300)]}])
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": messages}
    async with intake(tmp_path / "home") as running:
        for path, body in (
            ("/intake/litellm", bomb),
            ("/intake/litellm", b'{"a": 1}\n' * 300),
            ("/intake/kserve", bomb),
            ("/v1/traces", bomb),
            ("/v1/logs", bomb),
        ):
            kind = "application/cloudevents-batch+json" if "kserve" in path else JSON
            answer = await running.sent(path, content=body, headers={"content-type": kind})
            assert (answer.status_code, "more than 200" in answer.text) == (400, True), (path, answer.text)
        export = encoded(traces(span(attributes), span({}, span_id="a" * 16)))
        answer = await running.sent("/v1/traces", content=export, headers={"content-type": PROTOBUF})
        assert answer.status_code == 200
        assert b"more than 200 texts" in answer.content
        monkeypatch.setattr(body_values, "MAX_VALUES", 2000)
        assert (await running.sent("/intake/litellm", json=litellm_payload())).status_code == 200
        assert len(running.exchanges()) == 1


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/intake/litellm", JSON, b"[" + b"0," * 10_000 + b"0]"),
        ("/intake/litellm", JSON, b"{}\n" * 10_001),
        ("/intake/kserve", "application/cloudevents-batch+json", b"[" + b"0," * 10_000 + b"0]"),
    ],
    ids=["array", "lines", "events"],
)
async def test_a_body_of_more_items_than_are_processed_in_time_is_rejected(running, path, kind, body):
    """Each item took 25 µs, and numbers are no values that the other limit counts: 16 MiB took minutes."""
    answer = await running.sent(path, content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    assert "it has 10001 items, the limit is 10000; send smaller batches" in answer.text


async def test_all_rejections_are_counted_and_the_first_20_are_named(running):
    answer = await running.sent("/intake/litellm", json=[{}] * 25)
    assert (answer.status_code, answer.json()["refused"], len(answer.json()["refusals"])) == (422, 25, 20)
    assert [refusal["index"] for refusal in answer.json()["refusals"]] == list(range(20))


@pytest.mark.parametrize(
    "long",
    [
        {"messages": ["a"] * 8_193},
        {"messages": [{"role": "user", "content": ["a"] * 16_384}]},
        {"model_parameters": {"tools": [{"name": "a"}] * 16_384}},
        {"response": {"choices": [{"message": {"content": "a"}}] * 8_193}},
    ],
    ids=["messages", "parts", "tools", "choices"],
)
async def test_an_item_with_more_messages_and_parts_than_are_processed_in_time_is_rejected(running, long):
    answer = await running.sent("/intake/litellm", json=[litellm_payload(**long), litellm_payload(id="short")])
    assert answer.status_code == 422
    assert (answer.json()["accepted"], answer.json()["refused"]) == (1, 1)
    assert "items with their parts, the limit is 16384; send fewer" in answer.json()["refusals"][0]["message"]
    running.only()


async def test_items_are_read_beside_the_event_loop(tmp_path, monkeypatch):
    readers, read = [], app.exchange_from_litellm

    def noted(*given):
        readers.append(threading.current_thread())
        return read(*given)

    monkeypatch.setattr(app, "exchange_from_litellm", noted)
    async with intake(tmp_path / "home") as running:
        await running.sent("/intake/litellm", json=[litellm_payload(id=f"{number}") for number in range(300)])
        assert len(running.exchanges()) == 300
    assert threading.main_thread() not in readers
