import re

import pytest

from serving.backend import ModelRequest, RejectedRequest
from serving.engine.echo_engine import EchoEngine
from serving.replica.model_server import ModelServer

_LIMIT = 64


async def _answer(words: int, **fields) -> tuple[str, RejectedRequest | None]:
    body = {"prompt": "w " * words, "stream": True} | fields
    request = ModelRequest(request_id="r", operation="text_completion", body=body)
    text, rejected = "", None
    async for item in ModelServer(EchoEngine(_LIMIT), max_requests=1).generate(request):
        if isinstance(item, RejectedRequest):
            rejected = item
        else:
            text += item["choices"][0]["text"]
    return text, rejected


@pytest.mark.parametrize(
    ("words", "fields", "code", "message"),
    [
        (0, {"max_tokens": 5}, "invalid_value", "The prompt has no tokens"),
        (5, {"max_tokens": 59}, "context_length_exceeded", "max_tokens 59, .* is 64 tokens, and the prompt has 6"),
        (64, {}, "context_length_exceeded", "The prompt is too long: .* is 64 tokens, and the prompt has at least 65"),
    ],
)
async def test_a_prompt_without_tokens_or_beyond_the_limit_is_rejected(words, fields, code, message):
    text, rejected = await _answer(words, **fields)
    assert (text, rejected.code, rejected.status, rejected.param) == ("", code, 400, "prompt")
    assert re.search(message, rejected.message)


async def test_a_prompt_that_exactly_fits_with_its_answer_is_answered():
    text, rejected = await _answer(3, max_tokens=60)
    assert (text.split(), rejected) == (["w", "w", "w"], None)
