"""The response shapes that chat and plain completions share."""

import abc
from typing import Any, ClassVar

__all__ = ["Answer", "choice", "usage_of"]


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Return OpenAI's usage."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def choice(finish_reason: str | None, **content: Any) -> dict[str, Any]:
    """Return the only choice of a response."""
    return {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}


class Answer(abc.ABC):
    """The shapes of one response; every chunk has the same id and creation time.

    Parameters
    ----------
    request_id
        The response's id is derived from it.
    created
        Seconds since the epoch.
    include_usage
        Whether a stream ends with a chunk that has the usage, and has ``usage: null`` before it.
    """

    prefix: ClassVar[str]
    whole_object: ClassVar[str]
    chunk_object: ClassVar[str]

    def __init__(self, request_id: str, model: str, model_version: str, created: int, *, include_usage: bool) -> None:
        self.id = f"{self.prefix}-{request_id.replace('-', '')}"
        self._head = {"created": created, "model": model, "system_fingerprint": f"fp_{model_version}"}
        self._include_usage = include_usage

    def envelope(self, kind: str) -> dict[str, Any]:
        """Return the fields around the choices."""
        return {"id": self.id, "object": kind, **self._head}

    def chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """Return one event of a stream."""
        extra = {"usage": None} if self._include_usage else {}
        return self.envelope(self.chunk_object) | {"choices": choices} | extra

    def usage_chunk(self, prompt_tokens: int, completion_tokens: int) -> dict[str, Any] | None:
        """Return the chunk with the usage, or None if the client did not request it."""
        if not self._include_usage:
            return None
        return self.chunk([]) | {"usage": usage_of(prompt_tokens, completion_tokens)}

    @abc.abstractmethod
    def whole(self, text: str, finish_reason: str, prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
        """Return the body of a whole response."""

    @abc.abstractmethod
    def first_chunk(self) -> dict[str, Any] | None:
        """Return the chunk before any text, or None."""

    @abc.abstractmethod
    def text_chunk(self, text: str) -> dict[str, Any]:
        """Return a chunk of text."""

    @abc.abstractmethod
    def finish_chunk(self, finish_reason: str) -> dict[str, Any]:
        """Return the chunk with the finish reason."""
