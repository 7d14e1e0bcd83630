"""Bodies of inference, read for their text: OpenAI's (chat, completions, responses, streams), KServe's V1 and V2.

What has no text (an image, a tensor of numbers) is an exchange without text: counted, and owed nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from serving.intake.errors import Unreadable
from serving.intake.reported_exchange import Answered, Asked, parameters_of
from stream.wire import Message, Usage

__all__ = ["answer_of", "answered_of", "asked_of", "document", "messages_of", "text_of", "usage_of"]

Body = Mapping[str, Any]
_DATA = b"data:"
_DONE = b"[DONE]"
#: Where a part of a message, a choice or an item of output keeps its text.
_TEXT_KEYS = ("text", "content", "refusal", "output_text", "input_text", "arguments")


def document(raw: bytes) -> Any:
    """Return the JSON document of `raw`; raises Unreadable."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unreadable(f"{len(raw)} bytes are no JSON text; send JSON") from None


def text_of(content: Any) -> str:
    """Return the text of a message's content: a string, or the parts of it that are text, a line each."""
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
    """Return the messages of a conversation, whatever their content is made of."""
    if isinstance(raw, str):
        return (Message(role="user", content=raw),)
    return tuple(
        Message(role=str(one.get("role") or "user"), content=text_of(one)) for one in _mappings(raw) if text_of(one)
    )


def asked_of(body: Any) -> Asked:
    """Return what a request's body asks; raises Unreadable where it has none of the shapes."""
    if not isinstance(body, Mapping):
        raise Unreadable(f"the body is a {_kind(body)}; a request is a JSON object")
    common: dict[str, Any] = {
        "model": _word(body.get("model")),
        "stream": body.get("stream") is True,
        "parameters": parameters_of(dict(body)),
    }
    if "messages" in body:
        return Asked(**common, messages=messages_of(body["messages"]))
    if "prompt" in body:
        return Asked(**common, operation="text_completion", prompt=text_of(body["prompt"]))
    if "input" in body:
        return Asked(**common, messages=messages_of(body["input"]))
    if "instances" in body:
        return Asked(**common, operation="text_completion", prompt="\n".join(_strings(body["instances"])))
    if "inputs" in body:
        return Asked(**common, operation="text_completion", prompt="\n".join(_tensors(body["inputs"])))
    raise Unreadable(
        f"the body has {_names(body)}; a request has messages, prompt or input (OpenAI), instances (V1) or inputs (V2)"
    )


def answered_of(raw: bytes) -> Answered:
    """Return what an answer's body says; raises Unreadable where it has none of the shapes."""
    if raw.lstrip().startswith(_DATA):
        return _streamed(raw)
    body = document(raw)
    if not isinstance(body, Mapping):
        raise Unreadable(f"the body is a {_kind(body)}; an answer is a JSON object or a stream of events")
    return answer_of(body)


def answer_of(body: Body) -> Answered:
    """Return what an answer says; raises Unreadable where it has none of the shapes."""
    common: dict[str, Any] = {"model": _word(body.get("model")), "usage": usage_of(body.get("usage"))}
    if "choices" in body:
        choices = list(_mappings(body["choices"]))
        text = "\n".join(filter(None, (text_of(one.get("message") or one) for one in choices)))
        return Answered(**common, text=text, finish_reason=_finish(choices))
    if "output" in body:
        return Answered(**common, text=text_of(body["output"]))
    if "predictions" in body:
        return Answered(**common, text="\n".join(_strings(body["predictions"])))
    if "outputs" in body:
        return Answered(**common, text="\n".join(_tensors(body["outputs"])))
    if "content" in body or "data" in body:  # Anthropic's messages; OpenAI's embeddings, which have no text
        return Answered(**common, text=text_of(body.get("content")))
    raise Unreadable(
        f"the body has {_names(body)}; an answer has choices or output (OpenAI), predictions (V1) or outputs (V2)"
    )


def usage_of(raw: Any) -> Usage:
    """Return the tokens that `raw` counts, under OpenAI's names or Anthropic's."""
    if not isinstance(raw, Mapping):
        return Usage()
    prompt = raw.get("prompt_tokens", raw.get("input_tokens"))
    completion = raw.get("completion_tokens", raw.get("output_tokens"))
    return Usage(prompt_tokens=_count(prompt), completion_tokens=_count(completion))


def _streamed(raw: bytes) -> Answered:
    """Read a stream of OpenAI's chunks: the text of each choice, the last reason, the usage where it was sent."""
    texts: dict[int, list[str]] = {}
    last: dict[str, Any] = {"model": "", "usage": Usage(), "finish_reason": None}
    for line in raw.splitlines():
        data = line.removeprefix(_DATA).strip()
        if not line.startswith(_DATA) or data == _DONE:
            continue
        chunk = document(data)
        if not isinstance(chunk, Mapping):
            raise Unreadable(f"an event of the stream is a {_kind(chunk)}; a chunk is a JSON object")
        last["model"] = _word(chunk.get("model")) or last["model"]
        last["usage"] = usage_of(chunk["usage"]) if chunk.get("usage") else last["usage"]
        for choice in _mappings(chunk.get("choices")):
            part = text_of(choice.get("delta") or choice)
            texts.setdefault(_count(choice.get("index")), []).append(part)
            last["finish_reason"] = choice.get("finish_reason") or last["finish_reason"]
    return Answered(**last, text="\n".join(filter(None, ("".join(parts) for parts in texts.values()))))


def _strings(node: Any) -> Iterable[str]:
    """Yield every string inside V1's instances or predictions, in order."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value)


def _tensors(raw: Any) -> Iterable[str]:
    """Yield the elements of V2's tensors of BYTES that are text."""
    for tensor in _mappings(raw):
        if tensor.get("datatype") == "BYTES":
            yield from _strings(tensor.get("data"))


def _mappings(raw: Any) -> Iterable[Body]:
    return (one for one in raw if isinstance(one, Mapping)) if isinstance(raw, list | tuple) else ()


def _finish(choices: list[Body]) -> str | None:
    reasons = [reason for one in choices if isinstance(reason := one.get("finish_reason"), str)]
    return reasons[0] if reasons else None


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _kind(value: Any) -> str:
    return {list: "list", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")


def _names(body: Body) -> str:
    """Name the fields of a body: they are no content, but their number and length are the sender's."""
    names = [str(name)[:32] for name in list(body)[:8]]
    return f"the fields {', '.join(names)}" if names else "no fields"
