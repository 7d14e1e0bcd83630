"""Extract the text of inference bodies in the formats of OpenAI (chat, completions, responses, streams) and KServe (V1, V2).

A body without text (an image, a tensor of numbers) is recorded as an exchange without text, and no verdict is expected.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from serving.errors import UnreadablePayload
from serving.intake.reported_exchange import ReportedRequest, ReportedResponse, parameters_of
from stream.wire import Message, Usage

__all__ = [
    "count_of",
    "document",
    "messages_of",
    "request_from",
    "response_from",
    "response_from_bytes",
    "text_of",
    "usage_of",
    "word_of",
]

Body = Mapping[str, Any]
_DATA = b"data:"
_DONE = b"[DONE]"
_SHOWN_FIELDS = 8
_SHOWN_CHARACTERS = 32
#: Keys of the text in a part of a message, a choice or an item of output.
_TEXT_KEYS = ("text", "content", "refusal", "output_text", "input_text", "arguments")


def document(raw: bytes) -> Any:
    """Decode `raw` as JSON; raises UnreadablePayload."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnreadablePayload(f"{len(raw)} bytes are not JSON; send JSON") from None


def text_of(content: Any) -> str:
    """Return the text of a message's content: the string, or its text parts joined by line breaks."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(filter(None, map(text_of, content)))
    if isinstance(content, Mapping):
        parts = [text_of(content[key]) for key in _TEXT_KEYS if content.get(key) is not None]
        calls = [text_of(call.get("function")) for call in _mappings(content.get("tool_calls"))]
        return "\n".join(filter(None, (*parts, *calls)))
    return ""


def messages_of(raw: Any) -> tuple[Message, ...]:
    """Return those messages of a conversation that have text."""
    if isinstance(raw, str):
        return (Message(role="user", content=raw),)
    return tuple(
        Message(role=str(message.get("role") or "user"), content=text)
        for message in _mappings(raw)
        if (text := text_of(message))
    )


def request_from(body: Any) -> ReportedRequest:
    """Return the request in a body; raises UnreadablePayload if the format is not known."""
    if not isinstance(body, Mapping):
        raise UnreadablePayload(f"the body is a {_kind(body)}; a request is a JSON object")
    common: dict[str, Any] = {
        "model": word_of(body.get("model")),
        "stream": body.get("stream") is True,
        "parameters": parameters_of(dict(body)),
    }
    if "messages" in body:
        return ReportedRequest(**common, messages=messages_of(body["messages"]))
    if "prompt" in body:
        return ReportedRequest(**common, operation="text_completion", prompt=text_of(body["prompt"]))
    if "input" in body:
        return ReportedRequest(**common, messages=messages_of(body["input"]))
    if "instances" in body:
        return ReportedRequest(**common, operation="text_completion", prompt="\n".join(_strings(body["instances"])))
    if "inputs" in body:
        return ReportedRequest(**common, operation="text_completion", prompt="\n".join(_tensors(body["inputs"])))
    raise UnreadablePayload(
        f"the body has {_names(body)}; a request has messages, prompt or input (OpenAI), instances (V1) or inputs (V2)"
    )


def response_from_bytes(raw: bytes) -> ReportedResponse:
    """Return the response in the bytes of a body; raises UnreadablePayload if the format is not known."""
    if raw.lstrip().startswith(_DATA):
        return _streamed(raw)
    body = document(raw)
    if not isinstance(body, Mapping):
        raise UnreadablePayload(f"the body is a {_kind(body)}; a response is a JSON object or a stream of events")
    return response_from(body)


def response_from(body: Body) -> ReportedResponse:
    """Return the response in a decoded body; raises UnreadablePayload if the format is not known."""
    common: dict[str, Any] = {"model": word_of(body.get("model")), "usage": usage_of(body.get("usage"))}
    if "choices" in body:
        choices = list(_mappings(body["choices"]))
        text = "\n".join(filter(None, (text_of(choice.get("message") or choice) for choice in choices)))
        return ReportedResponse(**common, text=text, finish_reason=_finish(choices))
    if "output" in body:
        return ReportedResponse(**common, text=text_of(body["output"]))
    if "predictions" in body:
        return ReportedResponse(**common, text="\n".join(_strings(body["predictions"])))
    if "outputs" in body:
        return ReportedResponse(**common, text="\n".join(_tensors(body["outputs"])))
    if "content" in body or "data" in body:  # Anthropic's messages; OpenAI's embeddings, which have no text
        return ReportedResponse(**common, text=text_of(body.get("content")))
    raise UnreadablePayload(
        f"the body has {_names(body)}; a response has choices or output (OpenAI), predictions (V1) or outputs (V2)"
    )


def usage_of(raw: Any) -> Usage:
    """Return the token counts in `raw`, which uses the field names of OpenAI or Anthropic."""
    if not isinstance(raw, Mapping):
        return Usage()
    prompt = raw.get("prompt_tokens", raw.get("input_tokens"))
    completion = raw.get("completion_tokens", raw.get("output_tokens"))
    return Usage(prompt_tokens=count_of(prompt), completion_tokens=count_of(completion))


def _streamed(raw: bytes) -> ReportedResponse:
    """Return one response for a stream of OpenAI's chunks: the joined texts, the last finish reason, the last usage."""
    texts: dict[int, list[str]] = {}
    last: dict[str, Any] = {"model": "", "usage": Usage(), "finish_reason": None}
    for line in raw.splitlines():
        data = line.removeprefix(_DATA).strip()
        if not line.startswith(_DATA) or data == _DONE:
            continue
        chunk = document(data)
        if not isinstance(chunk, Mapping):
            raise UnreadablePayload(f"an event of the stream is a {_kind(chunk)}; a chunk is a JSON object")
        last["model"] = word_of(chunk.get("model")) or last["model"]
        last["usage"] = usage_of(chunk["usage"]) if chunk.get("usage") else last["usage"]
        for choice in _mappings(chunk.get("choices")):
            part = text_of(choice.get("delta") or choice)
            texts.setdefault(count_of(choice.get("index")), []).append(part)
            last["finish_reason"] = choice.get("finish_reason") or last["finish_reason"]
    return ReportedResponse(**last, text="\n".join(filter(None, ("".join(parts) for parts in texts.values()))))


def _strings(node: Any) -> Iterable[str]:
    """Yield all strings in KServe V1 instances or predictions, in order."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value)


def _tensors(raw: Any) -> Iterable[str]:
    """Yield the strings in KServe V2 tensors of type BYTES."""
    for tensor in _mappings(raw):
        if tensor.get("datatype") == "BYTES":
            yield from _strings(tensor.get("data"))


def _mappings(raw: Any) -> Iterable[Body]:
    return (item for item in raw if isinstance(item, Mapping)) if isinstance(raw, list | tuple) else ()


def _finish(choices: list[Body]) -> str | None:
    return next((reason for choice in choices if isinstance(reason := choice.get("finish_reason"), str)), None)


def word_of(value: Any) -> str:
    """Return `value` if it is a string, else ""."""
    return value if isinstance(value, str) else ""


def count_of(value: Any) -> int:
    """Return `value` if it is an integer of at least 0, else 0."""
    return value if isinstance(value, int) and value >= 0 else 0


def _kind(value: Any) -> str:
    return {list: "list", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")


def _names(body: Body) -> str:
    """Return the first field names of a body, shortened, because a client can send many long names."""
    names = [str(name)[:_SHOWN_CHARACTERS] for name in list(body)[:_SHOWN_FIELDS]]
    return f"the fields {', '.join(names)}" if names else "no fields"
