"""The official OpenAI client, whole and streaming, and wrong requests."""

import json

import httpx
import openai
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(900)]
MODEL = "smollm2-135m-instruct"
GOOD = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}


@pytest.fixture
def client(stack):
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key, max_retries=0, timeout=120) as made:
        yield made


def test_a_whole_answer(client):
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "What is the capital of France? Answer in one word."}],
        max_tokens=12,
        temperature=0,
    )
    assert "Paris" in answer.choices[0].message.content
    assert answer.usage.prompt_tokens > 10
    assert 0 < answer.usage.completion_tokens <= 12
    assert answer.choices[0].finish_reason in {"stop", "length"}


def test_a_stream_has_the_same_text_and_usage(client):
    ask = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Count to five."}],
        "max_tokens": 16,
        "temperature": 0,
    }
    whole = client.chat.completions.create(**ask)
    chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage


def test_completions_and_models(client):
    assert MODEL in [model.id for model in client.models.list()]
    answer = client.completions.create(model=MODEL, prompt="The sea is", max_tokens=5, temperature=0)
    assert answer.choices[0].text
    assert answer.usage.completion_tokens <= 5


def nested(depth):
    return '{"model": "m", "messages": ' + "[" * depth + "]" * depth + "}"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (json.dumps(GOOD | {"model": "gpt-9"}), 404, "model_not_found"),
        ("{not json", 400, None),
        (nested(20_000), 400, None),
        (json.dumps(GOOD | {"messages": []}), 400, None),
        (json.dumps({"model": MODEL}), 400, None),
        (json.dumps(GOOD | {"messages": "hello"}), 400, None),
        (json.dumps(GOOD | {"messages": [{"role": "user", "content": 7}]}), 400, None),
        (json.dumps(GOOD | {"temperature": "hot"}), 400, None),
        (json.dumps(GOOD | {"temperature": 99}), 400, None),
        (json.dumps(GOOD | {"max_tokens": 10**12}), 400, None),
        (json.dumps(GOOD | {"max_tokens": -1}), 400, None),
        (json.dumps(GOOD | {"messages": [{"role": "user", "content": "x" * 10_000_000}]}), 413, None),
        ("[]", 400, None),
        ("", 400, None),
    ],
    ids=lambda value: str(value)[:32],
)
def test_bad_input_is_an_openai_shaped_4xx(stack, body, status, code):
    headers = {"Authorization": f"Bearer {stack.key}", "Content-Type": "application/json"}
    answer = httpx.post(f"{stack.url}/v1/chat/completions", content=body.encode(), headers=headers, timeout=60)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    assert code is None or error["code"] == code
    assert len(answer.headers.get_list("x-request-id")) == 1


def test_a_large_body_in_chunks_is_rejected(stack):
    def pieces():
        for _ in range(100):
            yield b" " * 100_000

    try:
        headers = {"Authorization": f"Bearer {stack.key}"}
        answer = httpx.post(f"{stack.url}/v1/chat/completions", content=pieces(), headers=headers, timeout=60)
    except httpx.WriteError:
        return  # rejected before all was sent
    assert answer.status_code == 413


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}])
def test_an_invalid_key_is_rejected(stack, header):
    answer = httpx.post(f"{stack.url}/v1/chat/completions", json=GOOD, headers=header, timeout=60)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"]


def test_health_needs_no_key_and_the_request_id_is_made_by_weir(stack):
    assert httpx.get(f"{stack.url}/healthz").status_code == 200
    assert httpx.get(f"{stack.url}/readyz").status_code == 200
    sent = "11111111-1111-1111-1111-111111111111"
    headers = {"Authorization": f"Bearer {stack.key}", "x-request-id": sent}
    answer = httpx.post(f"{stack.url}/v1/chat/completions", json=GOOD, headers=headers, timeout=60)
    assert answer.status_code == 200
    assert answer.headers.get_list("x-request-id") != [sent]
    assert len(answer.headers.get_list("x-request-id")) == 1


def test_feedback_is_accepted(stack):
    headers = {"Authorization": f"Bearer {stack.key}"}
    answer = httpx.post(f"{stack.url}/v1/chat/completions", json=GOOD, headers=headers, timeout=60)
    body = {"request_id": answer.headers["x-request-id"], "rating": "down", "detector": "toxicity"}
    assert httpx.post(f"{stack.url}/v1/feedback", json=body, headers=headers, timeout=60).status_code in {200, 201, 202}
