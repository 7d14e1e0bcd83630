"""What the client receives: a backend's chunks with the response's id, creation time and model, or the whole response."""

from typing import Any

from serving.backend import OpenAIChunk
from serving.openai_api.accumulator import Accumulator
from stream.wire import Usage

__all__ = ["Answer", "ChatAnswer", "CompletionAnswer"]


def _counts(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


class Answer:
    """Formats one response. All its chunks have the same id (from `request_id`) and creation time (seconds since the epoch).

    With `include_usage`, a stream ends with a chunk that contains the token usage; the earlier chunks have ``usage: null``.
    """

    prefix: str
    whole_object: str
    chunk_object: str

    def __init__(self, request_id: str, model: str, model_version: str, created: int, *, include_usage: bool) -> None:
        self.id = f"{self.prefix}-{request_id.replace('-', '')}"
        self._head = {"created": created, "model": model, "system_fingerprint": f"fp_{model_version}"}
        self._include_usage = include_usage

    def chunk(self, chunk: OpenAIChunk) -> dict[str, Any]:
        """Return a backend's chunk as the client receives it."""
        return self._chunk(chunk["choices"])

    def usage_chunk(self, usage: Usage) -> dict[str, Any] | None:
        """Return the chunk with the token usage, or None if the client did not request the usage."""
        return self._chunk([]) | {"usage": _counts(usage)} if self._include_usage else None

    def whole(self, answer: Accumulator) -> dict[str, Any]:
        """Return the body of a response that is not a stream."""
        return {
            "id": self.id,
            "object": self.whole_object,
            **self._head,
            "choices": self._choices(answer),
            "usage": _counts(answer.usage),
        }

    def _chunk(self, choices: list[Any]) -> dict[str, Any]:
        extra = {"usage": None} if self._include_usage else {}
        return {"id": self.id, "object": self.chunk_object, **self._head, "choices": choices} | extra

    def _choices(self, answer: Accumulator) -> list[dict[str, Any]]:
        raise NotImplementedError


class ChatAnswer(Answer):
    """Formats the response to a chat completion."""

    prefix = "chatcmpl"
    whole_object = "chat.completion"
    chunk_object = "chat.completion.chunk"

    def _choices(self, answer: Accumulator) -> list[dict[str, Any]]:
        return answer.chat_choices()


class CompletionAnswer(Answer):
    """Formats the response to a plain completion."""

    prefix = "cmpl"
    whole_object = chunk_object = "text_completion"

    def _choices(self, answer: Accumulator) -> list[dict[str, Any]]:
        return answer.text_choices()
