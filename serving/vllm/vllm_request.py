"""Parse a request with the request models of vLLM's OpenAI layer."""

from pydantic import BaseModel, ValidationError
from ray.serve.llm.openai_api_models import ChatCompletionRequest, CompletionRequest
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest
from vllm.entrypoints.pooling.embed.protocol import EmbeddingChatRequest, EmbeddingCompletionRequest
from vllm.exceptions import VLLMClientError

from serving.backend import ModelRequest, RejectedRequest
from serving.openai_api.request_model import field_path
from serving.vllm.chunks import bad_request

_MODELS: dict[str, type[BaseModel]] = {
    "chat": ChatCompletionRequest,
    "text_completion": CompletionRequest,
    "embeddings": EmbeddingCompletionRequest,
    "responses": ResponsesRequest,
}
_RUNNING_USAGE = {"include_usage": True, "continuous_usage_stats": True}


def parse(request: ModelRequest) -> BaseModel | RejectedRequest:
    """Return vLLM's request object; a streamed completion counts its tokens in each chunk."""
    body = request.body | {"request_id": request.request_id}
    if request.stream and request.operation in {"chat", "text_completion"}:
        body["stream_options"] = _RUNNING_USAGE
    model = _MODELS[request.operation]
    if request.operation == "embeddings" and body.get("messages") is not None:
        model = EmbeddingChatRequest
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        param = field_path(first["loc"])
        return bad_request(f"{param or 'The body'}: {first['msg']}", param or None)
    except (ValueError, VLLMClientError) as error:
        return bad_request(str(error), getattr(error, "parameter", None))
