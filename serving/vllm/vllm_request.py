"""Parse a request with the request models of vLLM's OpenAI layer."""

from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from ray.serve.llm.openai_api_models import ChatCompletionRequest, CompletionRequest
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest
from vllm.entrypoints.pooling.embed.protocol import EmbeddingChatRequest, EmbeddingCompletionRequest
from vllm.exceptions import VLLMClientError

from serving.backend import ModelRequest, RejectedRequest
from serving.vllm.chunks import rejected

_TYPES: dict[str, TypeAdapter[Any]] = {
    "chat": TypeAdapter(ChatCompletionRequest),
    "text_completion": TypeAdapter(CompletionRequest),
    "embeddings": TypeAdapter(EmbeddingChatRequest | EmbeddingCompletionRequest),
    "responses": TypeAdapter(ResponsesRequest),
}
_RUNNING_USAGE = {"include_usage": True, "continuous_usage_stats": True}
_BAD_REQUEST = 400


def parse(request: ModelRequest) -> BaseModel | RejectedRequest:
    """Return vLLM's request object; a streamed completion counts its tokens in each chunk."""
    body = request.body | {"request_id": request.request_id}
    if request.stream and request.operation in {"chat", "text_completion"}:
        body["stream_options"] = _RUNNING_USAGE
    try:
        parsed: BaseModel = _TYPES[request.operation].validate_python(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        param = ".".join(part for part in map(str, first["loc"]) if not part[:1].isupper())
        return rejected(
            {"code": _BAD_REQUEST, "message": f"{param or 'The body'}: {first['msg']}", "param": param or None}
        )
    except (ValueError, VLLMClientError) as error:
        return rejected({"code": _BAD_REQUEST, "message": str(error), "param": getattr(error, "parameter", None)})
    return parsed
