"""The limit of the number of answers to one request."""

import pytest

from serving.backend import ModelRequest
from serving.vllm.prompt_limit import too_many_prompts


def checked(operation, **body):
    return too_many_prompts(ModelRequest(request_id="r", operation=operation, body=body), 8)


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "a", "n": 8},
        {"prompt": ["a"] * 8},
        {"prompt": ["a"] * 4, "n": 2},
        {"prompt": [1] * 100},
        {"prompt": [[1, 2]] * 8},
        {"prompt": []},
        {"prompt": None, "n": None},
        {"prompt": {"a": 1}, "n": "x"},
        {"prompt": "a", "n": True},
    ],
)
def test_as_many_answers_as_a_replica_runs_and_queues_are_allowed(body):
    assert checked("text_completion", **body) is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"prompt": ["a"] * 9}, "9 prompts x n = 1 are 9 answers, the limit is 8; send fewer in one request."),
        ({"prompt": [[1]] * 9}, "9 prompts x n = 1 are 9 answers"),
        ({"prompt": ["a"] * 3, "n": 3}, "3 prompts x n = 3 are 9 answers"),
        ({"prompt": ["a"] * 3, "n": 1, "best_of": 3}, "3 prompts x n = 3 are 9 answers"),
    ],
)
def test_more_answers_are_a_400_that_names_the_limit(body, message):
    rejection = checked("text_completion", **body)
    assert (rejection.status, rejection.param) == (400, "prompt")
    assert rejection.body["error"]["message"].startswith(message)


def test_embeddings_have_the_limit_of_openai():
    assert checked("embeddings", input=["a"] * 2048) is None
    rejection = checked("embeddings", input=["a"] * 2049)
    assert rejection.body["error"]["message"] == "input has 2049 texts, the limit is 2048; send fewer in one request."
    assert checked("embeddings", input=[5] * 5000) is None
    assert checked("chat", prompt=["a"] * 100) is None
