"""The response formats that chat and plain completions share."""

import abc
from typing import Any, ClassVar

__all__ = ["Answer"]


def _usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _choice(finish_reason: str | None, content: dict[str, Any]) -> dict[str, Any]:
    return {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}


class Answer(abc.ABC):
    """Formats one response. All its chunks have the same id (from `request_id`) and creation time (seconds since the epoch).

    With `include_usage`, a stream ends with a chunk that contains the token usage; the earlier chunks have ``usage: null``.
    """

    prefix: ClassVar[str]
    whole_object: ClassVar[str]
    chunk_object: ClassVar[str]

    def __init__(self, request_id: str, model: str, model_version: str, created: int, *, include_usage: bool) -> None:
        self.id = f"{self.prefix}-{request_id.replace('-', '')}"
        self._head = {"created": created, "model": model, "system_fingerprint": f"fp_{model_version}"}
        self._include_usage = include_usage

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, **self._head}

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        extra = {"usage": None} if self._include_usage else {}
        return self._envelope(self.chunk_object) | {"choices": choices} | extra

    def usage_chunk(self, prompt_tokens: int, completion_tokens: int) -> dict[str, Any] | None:
        """Return the chunk with the token usage, or None if the client did not request the usage."""
        if not self._include_usage:
            return None
        return self._chunk([]) | {"usage": _usage(prompt_tokens, completion_tokens)}

    def whole(self, text: str, finish_reason: str, prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
        """Return the body of a response that is not a stream."""
        return self._envelope(self.whole_object) | {
            "choices": [_choice(finish_reason, self._content(text))],
            "usage": _usage(prompt_tokens, completion_tokens),
        }

    def first_chunk(self) -> dict[str, Any] | None:
        """Return the chunk that is sent before the text, or None if the format has none."""
        first = self._first()
        return None if first is None else self._chunk([_choice(None, first)])

    def text_chunk(self, text: str) -> dict[str, Any]:
        """Return a chunk of text."""
        return self._chunk([_choice(None, self._delta(text))])

    def finish_chunk(self, finish_reason: str) -> dict[str, Any]:
        """Return the chunk with the finish reason."""
        return self._chunk([_choice(finish_reason, self._delta(""))])

    @abc.abstractmethod
    def _content(self, text: str) -> dict[str, Any]: ...

    @abc.abstractmethod
    def _first(self) -> dict[str, Any] | None: ...

    @abc.abstractmethod
    def _delta(self, text: str) -> dict[str, Any]: ...
