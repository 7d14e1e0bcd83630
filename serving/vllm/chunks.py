"""Convert the output of vLLM's OpenAI layer to chunks, and join chunks that differ only in their text."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from serving.backend import RUNNING_USAGE, ModelRequest, OpenAIChunk, RejectedRequest

Item = OpenAIChunk | RejectedRequest

_DATA = "data: "
_DONE = "[DONE]"
_UNAVAILABLE = 503
_CODES = {404: "model_not_found", 501: "unsupported_parameter"}
#: Words of the messages about a request that does not fit the context.
_TOO_LONG = ("maximum context length", "max_model_len=")
#: Fields of a delta whose values are joined.
_TEXTS = frozenset({"content", "reasoning", "reasoning_content"})
#: The fields that a choice of a joined chunk may have besides fields that are null; `finish_reason` is that of the last chunk.
_JOINED = frozenset({"index", "delta", "text", "finish_reason", "stop_reason"})


class ChunkReader:
    """Reads the items of the answer to `request`: server-sent events as text, or vLLM's response objects as JSON.

    vLLM counts the tokens of each choice of a streamed completion. The reader adds them up in `RUNNING_USAGE`, and removes `usage`
    unless the client requested it in each chunk (vLLM's ``stream_options.continuous_usage_stats``).
    """

    def __init__(self, request: ModelRequest) -> None:
        self._counts = request.stream and request.operation in {"chat", "text_completion"}
        options = request.body.get("stream_options") or {}
        self._shows_usage = options.get("include_usage") is True and options.get("continuous_usage_stats") is True
        self._tokens: dict[int, int] = {}

    def read(self, item: str | OpenAIChunk) -> Item | None:
        """Return a chunk or an error, or None for the end of the stream."""
        if isinstance(item, str):
            text = item.removeprefix(_DATA).strip()
            if text == _DONE:
                return None
            item = msgspec.json.decode(text, type=dict[str, Any])
        if item.keys() == {"error"}:
            return rejected(item["error"])
        return self._counted(item) if self._counts else item

    def _counted(self, chunk: OpenAIChunk) -> OpenAIChunk:
        usage, choices = chunk.get("usage"), chunk.get("choices")
        if not usage or not choices:
            return chunk
        self._tokens[choices[0]["index"]] = usage["completion_tokens"]
        running = {"prompt_tokens": usage["prompt_tokens"], "completion_tokens": sum(self._tokens.values())}
        counted = chunk | {RUNNING_USAGE: running}
        if not self._shows_usage:
            del counted["usage"]
        return counted


def rejected(error: Mapping[str, Any]) -> RejectedRequest:
    """Return vLLM's `error` as a rejection; only its `body` has vLLM's text, which may contain text of the request."""
    status = error.get("code")
    if not isinstance(status, int) or not 400 <= status < 600:
        status = 500
    message = str(error.get("message", ""))
    client_error = status < 500
    code = _CODES.get(status, "invalid_value" if client_error else "generation_failed")
    if any(words in message for words in _TOO_LONG):
        code = "context_length_exceeded"
    param = error.get("param")
    shown = {"message": message, "type": "invalid_request_error" if client_error else "server_error"}
    return RejectedRequest(
        code=code,
        status=status,
        message=f"The engine vllm rejected the request with status {status}.",
        param=param if isinstance(param, str) else None,
        body={"error": shown | {"param": param, "code": code}},
        retry_after_seconds=1 if status == _UNAVAILABLE else None,
    )


def bad_request(message: str, param: str | None) -> RejectedRequest:
    """Return the rejection of a request that vLLM does not get or does not accept; `message` may contain text of the request."""
    return rejected({"code": 400, "message": message, "param": param})


def join(items: Sequence[Item]) -> list[Item]:
    """Join consecutive chunks of a choice that contain only text: fewer chunks cost replica and gateway less CPU."""
    joined: list[Item] = []
    for item in items:
        both = _joined(joined[-1], item) if joined else None
        if both is None:
            joined.append(item)
        else:
            joined[-1] = both
    return joined


def _joined(first: Item, second: Item) -> OpenAIChunk | None:
    """Return two chunks as one, or None if that would lose something."""
    one, two = _text_choice(first), _text_choice(second)
    if one is None or two is None or one["index"] != two["index"] or one.get("finish_reason") is not None:
        return None
    assert isinstance(second, dict)
    if "text" in two:
        return second | {"choices": [two | {"text": one.get("text", "") + two["text"]}]} if "text" in one else None
    if "delta" not in one:
        return None
    delta = dict(one["delta"])
    for name, text in two["delta"].items():
        delta[name] = (delta.get(name) or "") + text if name in _TEXTS else text
    return second | {"choices": [two | {"delta": delta}]}


def _text_choice(item: Item) -> dict[str, Any] | None:
    """Return the only choice of a chunk if the choice contains only text, else None."""
    choices = item.get("choices") if isinstance(item, dict) else None
    if not choices or len(choices) != 1:
        return None
    choice: dict[str, Any] = choices[0]
    if not {name for name, value in choice.items() if value is not None} <= _JOINED:
        return None
    if isinstance(choice.get("text"), str):
        return choice
    delta = choice.get("delta")
    is_text = isinstance(delta, Mapping) and all(
        (isinstance(value, str) and name in _TEXTS) or name == "role" for name, value in delta.items()
    )
    return choice if is_text else None
