"""The sizes of responses, and the fields, that the engine `upstream` accepts from its server."""

import base64

import pytest
from support.scripted_upstream import DONE, WHOLE, Answer, chat_chunk, sse

MIB = 1024 * 1024
IMAGE = {"type": "image_generation_call", "id": "ig", "status": "completed", "result": "A" * 2_000_000}
USAGE = {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}


async def test_an_image_in_the_events_of_a_response_is_relayed_and_its_usage_recorded(relay):
    response = {"id": "resp_1", "object": "response", "status": "completed", "output": [IMAGE], "usage": USAGE}
    events = [
        {"type": "response.output_item.done", "output_index": 0, "item": IMAGE},
        {"type": "response.completed", "response": response},
    ]
    stack = relay(Answer(*sse(*events)))
    answer = await stack.post("responses", stream=True, input="draw")
    assert answer.text.count(IMAGE["result"]) == 2
    _, end = stack.ended()
    assert (end.status, end.usage.total_tokens) == ("complete", 11)
    (part,) = end.messages[0].parts
    assert (part.modality, part.size) == ("image", 1_500_000)


async def test_the_largest_batch_of_embeddings_of_openai_is_relayed(relay):
    vector = base64.b64encode(bytes(4 * 3072)).decode()
    rows = [{"object": "embedding", "index": index, "embedding": vector} for index in range(2048)]
    stack = relay(Answer.json({"object": "list", "data": rows, "usage": {"prompt_tokens": 2048}}))
    answer = await stack.post("embeddings", input=["a"] * 2048)
    assert (answer.status_code, answer.json()["data"]) == (200, rows)
    assert stack.ended()[1].usage.prompt_tokens == 2048


@pytest.mark.parametrize(("path", "mebibytes"), [("embeddings", 64), ("responses", 16)])
async def test_the_error_of_a_too_large_response_has_the_limit_and_the_remedy(relay, path, mebibytes):
    answer = await relay(Answer(*[b"x" * MIB] * (mebibytes + 1))).post(path, input=["a"])
    message = answer.json()["error"]["message"]
    assert (answer.status_code, f"{mebibytes * MIB} bytes, the limit" in message) == (502, True)
    assert message.endswith("request less at a time, such as fewer inputs.")


async def test_a_redirect_is_reported_as_an_error_of_the_operator(relay, caplog):
    answer = await relay(Answer(status=307, headers={"location": "http://127.0.0.1:1/"})).chat()
    message = "The upstream server returned status 307; the operator must correct base_url."
    assert (answer.status_code, answer.json()["error"]["message"]) == (502, message)
    assert f"model echo: {message}" in caplog.messages


@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_cannot_set_the_fields_of_weirs_own_engines(relay, stream):
    own = {"weir.model_version": ["v9"], "weir.running_usage": {"completion_tokens": 9}}
    answer = Answer(*sse(chat_chunk("one two", finish="stop") | own), DONE) if stream else Answer.json(WHOLE | own)
    stack = relay(answer)
    received = await stack.chat(stream=stream)
    assert (received.status_code, received.headers["x-weir-model-version"]) == (200, "provider-model")
    assert "weir." not in received.text
    _, end = stack.ended()
    assert (end.model_version, end.text, end.usage.completion_tokens) == (
        "provider-model",
        "one two",
        0 if stream else 2,
    )
