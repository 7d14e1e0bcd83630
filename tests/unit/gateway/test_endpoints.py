"""Authentication, validation and errors; errors, metrics, spans and logs contain no text of a request."""

import asyncio
import json

import pytest
from prometheus_client import generate_latest
from pydantic import ValidationError
from support.cases import cases
from support.gateway import KEY
from support.scripted_upstream import WHOLE, Answer

from serving.openai_api.chat import ChatRequest
from serving.openai_api.errors import ApiError
from serving.openai_api.request_model import parse

CASES = cases(__file__)

CANARY = "canary-7f3a"
#: (method, path, scope that the key needs) of each route that needs a key.
ROUTES = [
    *(("POST", f"/v1/{name}", "infer") for name in ("chat/completions", "completions", "embeddings", "responses")),
    ("POST", "/v1/feedback", "feedback"),
    ("POST", "/v1/labels", "review"),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/echo", None),
]


def error_of(answer):
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert answer.headers.get_list("x-request-id") == [answer.headers["x-request-id"]]
    return body["error"]


MESSAGES = [{"role": "user", "content": CANARY}]
CHAT = {"model": "echo", "messages": MESSAGES}


@pytest.mark.parametrize(("change", "param", "code"), CASES["bad_fields"])
async def test_a_bad_field_is_400_and_named_and_its_text_not_repeated(stack, change, param, code):
    answer = await stack.client.post("/v1/chat/completions", json=CHAT | change)
    assert answer.status_code == 400
    error = error_of(answer)
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert code in {None, error["code"]}
    assert CANARY not in answer.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"metadata": {"a": "x" * 513}},
            "metadata.a: string should have at most 512 characters; got a string of 513 characters.",
        ),
        ({"stop": ""}, "stop: string should have at least 1 character; got a string of 0 characters."),
        ({"messages": {"role": "user"}}, "messages: input should be a valid array; got an object of 1 field."),
        ({"metadata": {"a": ["x"]}}, "metadata.a: input should be a valid string; got an array of 1 item."),
        ({"metadata": {"a": None}}, "metadata.a: input should be a valid string; got null."),
        ({"messages": []}, "messages has 0 items, the minimum is 1; send more."),
        (
            {"messages": [{"role": "user", "content": []}]},
            "messages.0.content has 0 items, the minimum is 1; send more.",
        ),
        (
            {"metadata": {str(number): "x" for number in range(17)}},
            "metadata has 17 items, the maximum is 16; send fewer.",
        ),
        ({"modalities": ["audio"]}, 'modalities is only supported as null, ["text"]. Leave it out.'),
        (
            {"messages": [*MESSAGES, {"role": "assistant", "content": "a", "audio": {"id": CANARY}}]},
            "messages.1.audio: input should be null; got an object of 1 field.",
        ),
    ],
    ids=["long", "empty", "object", "array", "null", "no message", "no part", "many", "harmless", "audio"],
)
async def test_the_error_of_a_bad_field_has_the_type_and_the_length_of_its_value(stack, change, words):
    answer = await stack.client.post("/v1/chat/completions", json=CHAT | change)
    error = error_of(answer)
    assert (answer.status_code, error["message"]) == (400, words)
    assert words.startswith(error["param"])


@pytest.mark.parametrize(("change", "param", "code"), CASES["bad_completions"])
async def test_a_bad_field_of_a_completion_is_400_and_named(stack, change, param, code):
    answer = await stack.client.post("/v1/completions", json={"model": "echo", "prompt": CANARY} | change)
    assert answer.status_code == 400
    error = error_of(answer)
    assert (error["param"], error["code"]) == (param, code)
    assert CANARY not in answer.text


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (["a", "b"], "prompt has 2 texts, this engine takes 1; send a request for each."),
        ([], "prompt is an empty array, this engine takes 1 text; send the text."),
        ([1, 2], "prompt must be text; a list of token ids is not supported here."),
    ],
    ids=str,
)
async def test_a_list_of_prompts_is_400_with_the_supported_types(stack, prompt, message):
    answer = await stack.client.post("/v1/completions", json={"model": "echo", "prompt": prompt})
    assert (answer.status_code, error_of(answer)["message"]) == (400, message)


@pytest.mark.parametrize("max_tokens", [0, 2])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_completion_with_echo_begins_with_the_prompt_and_is_recorded(stack, stream, max_tokens):
    body = {"model": "echo", "prompt": "one two  three", "echo": True, "stream": stream, "max_tokens": max_tokens}
    answer = await stack.client.post("/v1/completions", json=body)
    assert answer.status_code == 200
    if stream:
        lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line.startswith("data: {")]
        text = "".join(choice["text"] for line in lines for choice in json.loads(line)["choices"])
    else:
        text = answer.json()["choices"][0]["text"]
    assert text == "one two  three" + ("one two" if max_tokens else "")
    _, end = stack.records()
    assert end.data.text == text
    assert (end.data.usage.prompt_tokens, end.data.usage.completion_tokens) == (3, max_tokens)


NESTED = ["[" * 100_000, '{"messages":' + "[" * 50_000 + "]" * 50_000 + "}"]


@pytest.mark.parametrize("body", [*CASES["bodies"], *NESTED])
async def test_a_body_that_is_no_request_is_400(stack, body):
    answer = await stack.client.post("/v1/chat/completions", content=body.encode("latin-1"))
    assert answer.status_code == 400
    error_of(answer)


@pytest.mark.parametrize("harmless", CASES["harmless"])
async def test_fields_that_clients_send_by_default_are_accepted(stack, harmless):
    assert (await stack.client.post("/v1/chat/completions", json=CHAT | harmless)).status_code == 200


@pytest.mark.parametrize(
    "turn",
    [
        {"content": None, "refusal": "I cannot."},
        {"content": "", "refusal": "I cannot."},
        {"content": [{"type": "refusal", "refusal": "I cannot."}]},
    ],
    ids=["refusal", "refusal and no text", "refusal part"],
)
async def test_a_refusal_of_an_earlier_turn_is_text_of_that_turn(stack, turn):
    messages = [*MESSAGES, {"role": "assistant"} | turn, *MESSAGES]
    answer = await stack.client.post("/v1/chat/completions", json=CHAT | {"messages": messages})
    assert answer.status_code == 200, answer.text
    request, _ = stack.records()
    assert [message.text for message in request.data.messages] == [CANARY, "I cannot.", CANARY]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": None, "refusal": "I cannot."},
        {"role": "assistant", "content": None, "refusal": {"a": CANARY}},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": None}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "a", "more": CANARY}]},
    ],
    ids=["user's", "no text", "part without text", "part with more"],
)
async def test_a_refusal_that_is_no_text_of_the_assistant_is_400(stack, message):
    answer = await stack.client.post("/v1/chat/completions", json=CHAT | {"messages": [*MESSAGES, message]})
    assert answer.status_code == 400
    assert error_of(answer)["param"].startswith("messages")
    assert CANARY not in answer.text


async def test_an_unknown_model_is_404(stack):
    answer = await stack.client.post("/v1/chat/completions", json=CHAT | {"model": "gpt-9"})
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "model_not_found"
    assert (await stack.client.get("/v1/models/gpt-9")).status_code == 404


async def test_a_large_body_is_413_by_its_length_and_by_its_count(stack):
    declared = await stack.client.post("/v1/chat/completions", content=b"x" * 600_000)
    assert declared.status_code == 413
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 65_536

    counted = await stack.client.post("/v1/chat/completions", content=endless())
    assert counted.status_code == 413
    assert sent <= 10
    assert error_of(counted)["code"] == "request_too_large"


async def test_a_compressed_body_is_415(stack):
    answer = await stack.client.post("/v1/chat/completions", content=b"x", headers={"content-encoding": "gzip"})
    assert answer.status_code == 415
    error_of(answer)


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic d2VpcjprZXk=", "weir-test-key"])
@pytest.mark.parametrize(("method", "path", "_scope"), ROUTES)
async def test_without_a_valid_key_nothing_is_answered(stack, authorization, method, path, _scope):
    answer = await stack.client.request(method, path, headers={"authorization": authorization})
    assert answer.status_code == 401
    error = error_of(answer)
    assert error["code"] == "invalid_api_key"
    assert "wrong" not in error["message"]


async def test_health_needs_no_key(stack):
    for path in ("/healthz", "/readyz"):
        answer = await stack.client.get(path, headers={"authorization": ""})
        assert answer.status_code == 200, answer.text


async def test_without_a_model_replica_the_gateway_is_not_ready_and_names_the_reason(stack):
    stack.backend.lost = True
    answer = await stack.client.get("/readyz")
    assert answer.status_code == 503
    assert "model" in answer.json()["reasons"]
    assert (await stack.client.get("/healthz")).status_code == 200


async def test_a_key_is_accepted_after_it_is_written_and_rejected_after_it_is_revoked(stack):
    async def becomes(key, status):
        deadline = asyncio.get_running_loop().time() + 5
        while True:
            answer = await stack.client.get("/v1/models", headers={"authorization": f"Bearer {key}"})
            if answer.status_code == status:
                return
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.02)

    await becomes("second", 401)
    stack.write_keys(("k_1", "acme", "weir-test-key", None), ("k_2", "other", "second", None))
    await becomes("second", 200)
    stack.write_keys(("k_1", "acme", "weir-test-key", None), ("k_2", "other", "second", "2026-01-01T00:00:00Z"))
    await becomes("second", 401)
    stack.keys_path.write_text("{half a fi")
    await becomes("weir-test-key", 200)


async def test_a_request_id_is_accepted_only_from_the_edge(stack):
    mine = "11111111-2222-3333-4444-555555555555"
    edge = await stack.client.get("/healthz", headers={"x-request-id": mine, "x-weir-edge": "e" * 64})
    assert edge.headers["x-request-id"] == mine
    for pretended in ({}, {"x-weir-edge": ""}, {"x-weir-edge": "f" * 64}):
        client = await stack.client.get("/healthz", headers={"x-request-id": mine} | pretended)
        assert client.headers.get_list("x-request-id") != [mine]
        assert len(client.headers.get_list("x-request-id")) == 1


async def test_an_edge_token_that_is_no_ascii_is_invalid(stack):
    mine = "11111111-2222-3333-4444-555555555555"
    answer = await stack.client.get("/healthz", headers={"x-request-id": mine, "x-weir-edge": b"\xe9"})
    assert (answer.status_code, answer.headers["x-request-id"] == mine) == (200, False)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [{}] * 9}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{}] * 9}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "user", "content": "x"}], "tools": [{}] * 9}, "tools.0.type"),
        ({"messages": [{"role": "user", "content": "x"}], "stop": [1] * 9}, "stop.0"),
    ],
)
def test_a_list_is_checked_up_to_its_first_wrong_item(fields, param):
    """Checking all items of a list of 100,000 wrong items would block the event loop for seconds."""
    with pytest.raises(ValidationError) as error:
        ChatRequest.model_validate({"model": "echo"} | fields)
    wrong = {place[1] for one in error.value.errors() if len(place := one["loc"]) > 1 and type(place[1]) is int}
    assert wrong <= {0}
    assert error.value.error_count() < 9
    with pytest.raises(ApiError) as shown:
        parse(ChatRequest, json.dumps({"model": "echo"} | fields).encode())
    assert shown.value.param == param


@pytest.mark.parametrize("is_relayed", [False, True])
@pytest.mark.parametrize(("name", "status"), [("c" * 256, 200), ("c" * 257, 400), (42, 400)], ids=["256", "257", "42"])
async def test_a_conversation_id_that_weir_cannot_record_is_400(stack, relay, is_relayed, name, status):
    stack = relay(Answer.json(WHOLE)) if is_relayed else stack
    answer = await stack.chat(metadata={"conversation_id": name})
    assert answer.status_code == status
    if status == 400:
        assert error_of(answer)["param"] == "metadata.conversation_id"
    assert [event.data.conversation_id for event in stack.records()[:1]] == [name] * (status == 200)


async def test_unknown_addresses_are_404_and_unknown_methods_405(stack):
    missing = await stack.client.get("/v1/nothing")
    assert missing.status_code == 404
    served = error_of(missing)["message"].partition("Weir serves ")[2].removesuffix(".").split(", ")
    assert {*served} == {path for _, path, _ in ROUTES} - {"/v1/models/echo"} | {"/healthz", "/readyz"}
    wrong = await stack.client.get("/v1/chat/completions")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "POST"
    error_of(wrong)


async def test_models_lists_the_served_model(stack):
    await stack.client.get("/readyz")
    listed = (await stack.client.get("/v1/models")).json()
    assert [model["id"] for model in listed["data"]] == ["echo"]
    assert (await stack.client.get("/v1/models/echo")).json()["version"] == "echo"


@pytest.mark.parametrize(("body", "status"), CASES["feedback"])
async def test_feedback_is_checked_and_its_text_not_repeated(stack, body, status):
    answer = await stack.client.post("/v1/feedback", json=body)
    assert answer.status_code == status, answer.text
    assert CANARY not in answer.text


@pytest.mark.parametrize(("method", "path", "scope"), [route for route in ROUTES if route[2]])
async def test_a_key_without_the_scope_is_403_and_the_scope_is_named(stack, method, path, scope):
    stack.write_keys(("k_1", "acme", KEY, None, ["approve"]))
    answer = await stack.client.request(method, path, json=CHAT)
    assert answer.status_code == 403
    error = error_of(answer)
    assert (error["code"], error["type"]) == ("insufficient_scope", "invalid_request_error")
    assert f"lacks the scope {scope} and has: approve;" in error["message"]
    assert f'scope="{scope}"' in answer.headers["www-authenticate"]
    assert (await stack.client.get("/v1/models")).status_code == 200


async def test_no_text_of_a_prompt_is_in_metrics_spans_or_logs(stack, caplog):
    await stack.client.post("/v1/chat/completions", json=CHAT)
    await stack.client.post("/v1/chat/completions", json=CHAT | {"temperature": 9})
    spans = stack.spans.get_finished_spans()
    assert len(spans) >= 3
    assert CANARY not in caplog.text
    assert CANARY not in generate_latest(stack.registry).decode()
    assert CANARY not in "".join(span.to_json() for span in spans)


@pytest.mark.parametrize("length", [b"\xb2", b"9" * 5000, b"-1", b"x"])
async def test_a_length_that_is_no_number_is_no_internal_error(stack, length):
    """HAProxy and uvicorn reject such a header; the gateway itself reads the body up to its limit."""
    body = b'{"model": "echo", "messages": [{"role": "user", "content": "hi"}]}'
    answer = await stack.client.post("/v1/chat/completions", content=body, headers=[(b"content-length", length)])
    assert answer.status_code == 200
