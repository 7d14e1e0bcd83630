"""Bodies that are no OTLP, or too large."""

import gzip
import tracemalloc

import pytest
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from support.intake import intake
from support.otlp import JSON, PROTOBUF


@pytest.mark.parametrize(
    ("headers", "body", "status", "message"),
    [
        ({"authorization": "Bearer nobody"}, b"", 401, "weir keys create"),
        ({"content-type": "text/plain"}, b"x", 415, "content-type must be application/x-protobuf or application/json"),
        ({"content-encoding": "br"}, b"x", 415, "content-encoding is not supported"),
        ({}, b"\xff\xff", 400, "2 bytes are not OTLP; send ExportTraceServiceRequest"),
        ({"content-type": JSON}, b"<html>", 400, "6 bytes are not OTLP"),
        ({"content-type": JSON}, b"[]", 400, "2 bytes are not OTLP"),
        ({"content-type": JSON}, b'"resourceSpans"', 400, "15 bytes are not OTLP"),
        ({"content-type": JSON}, b'{"resourceSpans": [{"scopeSpans": "ann.lee"}]}', 400, "are not OTLP"),
        ({"content-type": JSON}, b"[" * 900, 400, "are not OTLP"),
        ({"content-encoding": "gzip"}, b"<html>", 400, "The body is not gzip"),
        ({"content-encoding": "gzip"}, gzip.compress(b"x", mtime=0)[:-4], 400, "not one complete gzip member"),
        ({"content-encoding": "gzip"}, gzip.compress(b"", mtime=0) * 2, 400, "not one complete gzip member"),
        ({"content-encoding": "gzip"}, gzip.compress(bytes(1_001), mtime=0), 413, "larger than 1000 bytes"),
        ({}, bytes(1_001), 413, "larger than 1000 bytes"),
    ],
)
async def test_errors_are_a_status_in_the_requests_encoding(tmp_path, headers, body, status, message):
    async with intake(tmp_path / "home", max_body_bytes=1_000) as running:
        answer = await running.sent("/v1/traces", content=body, headers={"content-type": PROTOBUF} | headers)
        assert answer.status_code == status
        kind = headers.get("content-type", PROTOBUF)
        found = Status()
        if kind == JSON:
            json_format.Parse(answer.content, found)
        else:
            found.ParseFromString(answer.content)
        assert answer.headers["content-type"] == (JSON if kind == JSON else PROTOBUF)
        assert message in found.message
        assert "ann.lee" not in found.message
        assert running.events() == []


async def test_the_memory_for_a_body_that_decompresses_to_much_more_is_bounded(tmp_path):
    bomb = gzip.compress(bytes(64 * 1024**2))
    async with intake(tmp_path / "home", max_body_bytes=len(bomb)) as running:
        tracemalloc.start()
        answer = await running.sent(
            "/v1/traces", content=bomb, headers={"content-type": PROTOBUF, "content-encoding": "gzip"}
        )
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (answer.status_code, peak < 8 * 1024**2) == (413, True)
