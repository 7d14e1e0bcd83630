"""Requests with images: a larger limit for models that accept images, and records without the bytes of images."""

import asyncio
import base64
import hashlib
import json
import logging
import random

import pytest
from support.lab import eventually
from support.scripted_upstream import WHOLE, Answer

from stream.wire import BlobPart, TextPart, UriPart, encode

MIB = 1024 * 1024
LIMIT = 512 * 1024
IMAGES = {"with_images": ("echo",)}
#: As Base64, larger than the usual limit and smaller than the limit of images.
PIXELS = random.Random(3).randbytes(2 * MIB)
CODED = base64.b64encode(PIXELS).decode()
INLINE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{CODED}", "detail": "low"}}
REMOTE = {"type": "image_url", "image_url": {"url": "https://pictures.example/canary-image.png"}}
TEXT = {"type": "text", "text": "what is this?"}
RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "model": "provider-model", "output": []}


def said(*parts):
    return {"messages": [{"role": "user", "content": [*parts]}]}


async def test_an_image_is_relayed_unchanged_and_recorded_by_digest(relay, upstream, caplog):
    caplog.set_level(logging.DEBUG, "serving")
    stack = relay(Answer.json(WHOLE), stack=IMAGES)
    answer = await stack.post("chat/completions", **said(TEXT, INLINE, REMOTE))
    assert answer.status_code == 200
    assert upstream.bodies == [{"model": "provider-model", **said(TEXT, INLINE, REMOTE)}]
    spans = "".join(span.to_json() for span in stack.spans.get_finished_spans())
    request, _ = stack.ended()
    (message,) = request.messages
    digest = hashlib.sha256(PIXELS).hexdigest()
    url_digest = hashlib.sha256(REMOTE["image_url"]["url"].encode()).hexdigest()
    assert message.parts == (
        TextPart(content="what is this?"),
        BlobPart(modality="image", digest=digest, size=len(PIXELS), mime_type="image/png"),
        UriPart(modality="image", digest=url_digest),
    )
    assert "".join(part.text for part in message.parts) == "what is this?"
    spool = b"".join(path.read_bytes() for path in (stack.home / "spool").rglob("*") if path.is_file())
    for secret in (CODED[1000:1040], "canary-image"):
        assert secret.encode() not in spool
        assert secret not in caplog.text
        assert secret not in spans
    assert max(len(encode(event).value) for event in stack.records()) < 2_000


async def test_images_of_the_responses_api_are_relayed_too(relay, upstream):
    stack = relay(Answer.json(RESPONSE), stack=IMAGES)
    given = [{"role": "user", "content": [{"type": "input_image", "image_url": INLINE["image_url"]["url"]}]}]
    assert (await stack.post("responses", input=given)).status_code == 200
    assert upstream.bodies[0]["input"] == given
    request, _ = stack.ended()
    assert [type(part) for part in request.messages[0].parts] == [BlobPart]


async def test_a_model_without_images_keeps_its_limit(relay, upstream):
    stack = relay(Answer.json(WHOLE), stack={"with_images": ("another",)})
    answer = await stack.post("chat/completions", **said(INLINE))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert str(LIMIT) in answer.json()["error"]["message"]
    assert upstream.requests == []
    assert stack.records() == []


async def test_no_image_may_exceed_the_larger_limit(relay, upstream):
    stack = relay(Answer.json(WHOLE), stack=IMAGES)
    answer = await stack.post("chat/completions", **said(INLINE, INLINE))
    assert answer.status_code == 413
    assert str(4 * MIB) in answer.json()["error"]["message"]
    assert upstream.requests == []


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "word " * 200_000},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "no Base64 " * 100_000}},
        {"type": "input_audio", "input_audio": {"data": CODED, "format": "wav"}},
    ],
)
async def test_only_images_may_exceed_the_usual_limit(relay, upstream, part):
    stack = relay(Answer.json(WHOLE), stack=IMAGES)
    answer = await stack.post("chat/completions", **said(part))
    assert answer.status_code == 413
    assert "without its inline images" in answer.json()["error"]["message"]
    assert upstream.requests == []


async def test_slashes_may_be_escaped(relay, upstream):
    stack = relay(Answer.json(WHOLE), stack=IMAGES)
    raw = json.dumps({"model": "echo"} | said(INLINE)).replace("/", "\\/")
    answer = await stack.client.post("/v1/chat/completions", content=raw)
    assert answer.status_code == 200
    assert upstream.bodies[0]["messages"] == said(INLINE)["messages"]


async def test_large_bodies_in_progress_have_a_limit(relay, upstream):
    size = len(json.dumps({"model": "echo"} | said(INLINE), separators=(",", ":")))
    stack = relay(Answer("hang"), stack=IMAGES | {"image_bodies_bytes": size + 1000})
    first = asyncio.create_task(stack.post("chat/completions", **said(INLINE)))
    await eventually(lambda: upstream.requests)
    second = await stack.post("chat/completions", **said(INLINE))
    assert (second.status_code, second.json()["error"]["code"]) == (503, "queue_full")
    assert "http.image_bodies_bytes" in second.json()["error"]["message"]
    small = asyncio.create_task(stack.chat("small"))
    await eventually(lambda: len(upstream.requests) == 2)
    for task in (first, small):
        task.cancel()
    await asyncio.gather(first, small, return_exceptions=True)
    upstream.script = [Answer.json(WHOLE)]
    assert (await stack.post("chat/completions", **said(INLINE))).status_code == 200


async def test_an_engine_without_images_names_itself_and_the_field(stack):
    parts = [TEXT, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    answer = await stack.post(
        "chat/completions", messages=[{"role": "system", "content": "x"}, *said(*parts)["messages"]]
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "unsupported_parameter")
    assert error["param"] == "messages.1.content.1.image_url"
    assert error["message"].startswith("messages.1.content.1.image_url is not supported by the engine 'echo'")
    assert stack.records() == []
