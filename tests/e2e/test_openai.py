"""The official OpenAI client reads a sensible answer of the default model. tests/integration/clients and serving send all other requests."""

import openai
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(900)]
MODEL = "smollm2-135m-instruct"


def test_a_whole_answer(stack):
    question = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key, max_retries=0, timeout=120) as client:
        answer = client.chat.completions.create(model=MODEL, messages=question, max_tokens=12, temperature=0)
    assert "Paris" in answer.choices[0].message.content
    assert answer.usage.prompt_tokens > 10
    assert 0 < answer.usage.completion_tokens <= 12
    assert answer.choices[0].finish_reason in {"stop", "length"}
