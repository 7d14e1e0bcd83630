"""Limit the number of answers that one request generates: vLLM runs each prompt of a completion, and each choice, as a separate request."""

from collections.abc import Mapping
from typing import Any

from serving.backend import ModelRequest, RejectedRequest, inputs_in
from serving.vllm.chunks import bad_request

#: The most inputs of an embeddings request, as in OpenAI's API.
MAX_INPUTS = 2048


def too_many_prompts(request: ModelRequest, max_requests: int) -> RejectedRequest | None:
    """Return a rejection if a completion needs more than `max_requests` answers, or embeddings have more than `MAX_INPUTS` inputs."""
    body = request.body
    if request.operation == "embeddings":
        count, limit, what = inputs_in(body.get("input")), MAX_INPUTS, "input has {} texts"
    elif request.operation == "text_completion":
        prompts, choices = inputs_in(body.get("prompt")), _choices(body)
        count, limit, what = prompts * choices, max_requests, f"{prompts} prompts x n = {choices} are {{}} answers"
    else:
        return None
    if count <= limit:
        return None
    message = f"{what.format(count)}, the limit is {limit}; send fewer in one request."
    return bad_request(message, "input" if request.operation == "embeddings" else "prompt")


def _choices(body: Mapping[str, Any]) -> int:
    """Return the choices for each prompt; vLLM rejects values that are no positive integers."""
    return max([1, *(value for name in ("n", "best_of") if type(value := body.get(name)) is int)])
