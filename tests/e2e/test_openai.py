"""The official OpenAI client, with and without streaming. tests/integration/serving sends invalid requests."""

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


def test_feedback_is_accepted(stack):
    headers = {"Authorization": f"Bearer {stack.key}"}
    answer = httpx.post(f"{stack.url}/v1/chat/completions", json=GOOD, headers=headers, timeout=60)
    body = {"request_id": answer.headers["x-request-id"], "rating": "down", "detector": "toxicity"}
    assert httpx.post(f"{stack.url}/v1/feedback", json=body, headers=headers, timeout=60).status_code in {200, 201, 202}
