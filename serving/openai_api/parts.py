"""Convert messages, choices and tools of OpenAI's API to the parts of a record.

Upstreams and logs may contain anything, so the input is decoded JSON of any shape. Unknown fields are ignored, missing
fields have defaults, and a value of a wrong type is skipped. The converters also accept the items of the responses API,
OpenTelemetry's GenAI messages and Anthropic's content blocks, because the names of their fields do not conflict.
Images, audio and files are recorded by digest and size.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from serving.decoded_json import first_text, is_nested_deeper, mapping_of, mappings_of
from stream.wire import (
    ADDED,
    BlobPart,
    Choice,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolDefinition,
    ToolResponsePart,
    UriPart,
)

Body = Mapping[str, Any]
_TOOL_ROLES = frozenset({"tool", "function"})
_MESSAGES = (str, dict, Mapping)  # the check of an abstract class is slow, so most items match before it
_PLAIN_ROLES = ("system", "developer", "user", "assistant")
_TEXT_KEYS = ("text", "refusal", "content", "transcript", "logs")
_CALL_KEYS = ("arguments", "input", "action", "actions", "operation", "code", "queries", "server_tool_call")
_CALL_IDS = ("call_id", "tool_call_id", "tool_use_id", "id")
_RESULT_KEYS = (
    "output", "response", "result", "outputs", "results", "content", "server_tool_call_response", "error", "tools", "reason",
)  # fmt: skip
#: Ends of the types of calls and of results. A tool list comes from another server, and an approval from the client, as a result does.
_CALLS = ("_call", "tool_use", "_approval_request")
_RESULTS = ("tool_call_response", "tool_result", "_output", "_tools", "_approval_response")
#: Fields of an item of an unknown type that are not recorded, and the most recorded characters of such an item.
_NO_TEXT = frozenset({"id", "call_id", "status", "created_by", "encrypted_content"})
_MAX_UNKNOWN = 65_536
#: Fields that contain an image, audio, video or file, by the names of several APIs.
_MEDIA_KEYS = ("image_url", "input_audio", "audio_url", "video_url", "file", "source", "image", "audio")
_MEDIA_TYPES = frozenset({"blob", "uri", "file", "input_file", "input_image", "image", "audio", "video", "document"})
_URL_KEYS = ("url", "uri", "file_url", "image_url", "file_id", "id")
_DATA_KEYS = ("data", "file_data", "b64_json", "content")
#: LiteLLM's logs contain this, with the size, instead of the Base64 of an image.
_TRUNCATED = "[base64_data truncated"
_MODALITIES = ("image", "audio", "video")
_FINISH_REASONS = {"max_output_tokens": "length"}
#: A consumer whose stack is deeper than ours must also be able to decode the record.
_MAX_SCHEMA_DEPTH = 64


def messages_from(raw: Any) -> tuple[Message, ...]:
    """Return the messages in `raw`: a text, or a list of texts, messages and items of the responses API."""
    if isinstance(raw, str):
        return (Message.of_text("user", raw),)
    items = raw if isinstance(raw, list | tuple) else ()
    return tuple(
        Message.of_text("user", item) if isinstance(item, str) else message_from(item)
        for item in items
        if isinstance(item, _MESSAGES)
    )


def added_messages(body: Body) -> tuple[Message, ...]:
    """Return the texts beside the messages of a chat that the model reads too, with the name ``ADDED``."""
    found = (
        *_documents_from(body.get("documents")),
        *_template_texts_from(body),
        *_prediction_from(body.get("prediction")),
        *_variables_from(body.get("prompt")),
    )
    return tuple(msgspec.structs.replace(message, name=ADDED) for message in found)


def _documents_from(raw: Any) -> Iterator[Message]:
    """Yield the documents of a chat (a field of vLLM), each a text or an object with texts, as results of a tool."""
    for item in raw if isinstance(raw, list | tuple) else ():
        values = item.values() if isinstance(item, Mapping) else (item,)
        if text := "\n".join(value for value in values if isinstance(value, str)):
            yield Message(role="tool", parts=(ToolResponsePart(response=text),))


def _prediction_from(prediction: Any) -> Iterator[Message]:
    """Yield the predicted answer of a chat, which the model reads too, as a message of the user."""
    if parts := tuple(content_from(mapping_of(prediction).get("content"))):
        yield Message(role="user", parts=parts)


def _variables_from(prompt: Any) -> Iterator[Message]:
    """Yield the variables of the field ``prompt`` of the Responses API, texts or content parts, as a message of the user."""
    variables = mapping_of(mapping_of(prompt).get("variables"))
    if parts := tuple(content_from(list(variables.values()))):
        yield Message(role="user", parts=parts)


def _template_texts_from(body: Body) -> Iterator[Message]:
    """Yield what the client sends for the chat template (fields of vLLM): documents as results of a tool, other texts as a message of the user.

    A template can write any of its arguments into the prompt.
    """
    arguments = dict(mapping_of(body.get("chat_template_kwargs")))
    yield from _documents_from(arguments.pop("documents", None))
    if parts := tuple(TextPart(content=text) for text in texts_in([body.get("chat_template"), arguments])):
        yield Message(role="user", parts=parts)


def texts_in(value: Any) -> Iterator[str]:
    """Yield the strings in decoded JSON that are not empty, without the names of fields."""
    left = [value]
    while left:
        match left.pop():
            case str() as text if text:
                yield text
            case dict() as fields:
                left += reversed(fields.values())
            case list() as items:
                left += reversed(items)


def message_from(raw: Body) -> Message:
    """Return one message of a chat, or one item of the responses API (a call, its output, or reasoning)."""
    content, role = raw.get("content"), raw.get("role")
    if len(raw) == 2 and isinstance(content, str) and role in _PLAIN_ROLES:  # most messages
        return Message(role=role, parts=_text_parts(content))
    parts = tuple(_message_parts(raw))
    role = first_text(raw, "role") or _role_of_item(raw, parts)
    if role in _TOOL_ROLES and not any(isinstance(part, ToolResponsePart) for part in parts):
        parts = _as_tool_response(parts, first_text(raw, *_CALL_IDS))
    return Message(role=role, parts=parts, name=first_text(raw, "name") if "role" in raw else "")


def choice_from(raw: Body) -> Choice:
    """Return one choice of chat completions (`message`), of completions (`text`), or of an OpenTelemetry output message."""
    finish_reason = first_text(raw, "finish_reason") or None
    message = raw.get("message")
    if message is None and isinstance(raw.get("text"), str):
        return Choice(parts=_text_parts(raw["text"]), finish_reason=finish_reason)
    answer = message if isinstance(message, Mapping) else raw
    parts = tuple(_message_parts(answer))
    return Choice(role=first_text(answer, "role") or "assistant", parts=parts, finish_reason=finish_reason)


def choices_from(body: Body) -> tuple[Choice, ...]:
    """Return the choices of a response; the output items of the responses API are one choice."""
    if isinstance(body.get("choices"), list | tuple):
        return tuple(choice_from(choice) for choice in mappings_of(body["choices"]))
    output = body.get("output")
    if isinstance(output, str):
        return (Choice(parts=_text_parts(output)),)
    parts = tuple(part for item in mappings_of(output) for part in _message_parts(item))
    reason = first_text(mapping_of(body.get("incomplete_details")), "reason")
    return (Choice(parts=parts, finish_reason=_FINISH_REASONS.get(reason, reason) or None),) if parts or reason else ()


def tools_from(raw: Any) -> tuple[ToolDefinition, ...]:
    """Return the tool definitions of a request (`tools` or `functions`); a schema nested deeper than 64 levels is omitted."""
    return tuple(_tool(tool) for tool in mappings_of(raw))


def _tool(raw: Body) -> ToolDefinition:
    kind = first_text(raw, "type") or "function"
    definition = mapping_of(raw.get(kind)) or raw
    schema = next(
        (value for key in ("parameters", "input_schema") if isinstance(value := definition.get(key), dict)), {}
    )
    return ToolDefinition(
        type=kind,
        name=first_text(definition, "name", "server_label") or kind,
        description=first_text(definition, "description"),
        parameters={} if is_nested_deeper(schema, _MAX_SCHEMA_DEPTH) else schema,
    )


def _message_parts(raw: Body) -> Iterator[Part]:
    """Yield the parts of a message: reasoning, content, refusal, then tool calls."""
    kind = first_text(raw, "type")
    if kind not in {"", "message"} and ("role" not in raw or "tools" in raw):  # `additional_tools` has a role
        yield from _part(raw)
        return
    reasoning = raw.get("reasoning_content") or raw.get("reasoning")
    if isinstance(reasoning, str):
        yield ReasoningPart(content=reasoning)
    content = raw.get("content")
    yield from content_from(raw.get("parts") if content is None else content)
    yield from _text_parts(first_text(raw, "refusal"))
    if audio := mapping_of(raw.get("audio")):
        yield from _text_parts(first_text(audio, "transcript"))
        yield from _media(raw)
    for call in (*mappings_of(raw.get("tool_calls")), *mappings_of([raw.get("function_call")])):
        yield _call(call)


def _role_of_item(raw: Body, parts: tuple[Part, ...]) -> str:
    if first_text(raw, "type") in {"", "message"}:
        return "user"
    return "tool" if parts and all(isinstance(part, ToolResponsePart) for part in parts) else "assistant"


def _as_tool_response(parts: tuple[Part, ...], call_id: str) -> tuple[Part, ...]:
    text = "\n".join(part.text for part in parts if part.text)
    others = (part for part in parts if isinstance(part, UriPart | BlobPart))
    return ToolResponsePart(response=text, id=call_id), *others


def content_from(content: Any) -> Iterator[Part]:
    """Yield the parts of a message's `content`: a text, or a list of texts and content parts."""
    if isinstance(content, str):
        yield from _text_parts(content)
    elif isinstance(content, list | tuple):
        for item in content:
            yield from _text_parts(item) if isinstance(item, str) else _part(mapping_of(item))
    elif isinstance(content, Mapping):
        yield from _part(content)


def _part(item: Body) -> Iterator[Part]:
    """Yield the parts of one content part, content block or item."""
    kind = first_text(item, "type")
    if kind.endswith(_RESULTS):
        yield from _result(item)
    elif kind == "image_generation_call":
        yield from _text_parts(first_text(item, "revised_prompt"))
        yield from _blob("image", first_text(item, "result"), "")
    elif kind.endswith(_CALLS) or kind == "program":
        yield _call(item)
        if any(item.get(key) is not None for key in _RESULT_KEYS):
            yield from _result(item)
    elif kind in {"reasoning", "thinking", "redacted_thinking"}:
        yield from _reasoning(item)
    else:
        yield from tuple(_text_or_media(item)) or _unknown(item)


def _unknown(item: Body) -> Iterator[Part]:
    """Yield the JSON of an item of a type that this module has no rule for, so that text in it is recorded."""
    kind = first_text(item, "type")
    fields = {name: value for name, value in item.items() if value and name not in _NO_TEXT}
    known = "text" in kind or _is_media(item) or any(isinstance(item.get(key), str) for key in _TEXT_KEYS)
    if kind and not known and len(fields) > 1:
        yield TextPart(content=json_text(fields)[:_MAX_UNKNOWN])


def _is_media(item: Body) -> bool:
    kind = first_text(item, "type")
    return "text" not in kind and (kind in _MEDIA_TYPES or any(item.get(key) is not None for key in _MEDIA_KEYS))


def _text_or_media(item: Body) -> Iterator[Part]:
    if _is_media(item):
        yield from _media(item)
        yield from _text_parts(first_text(item, "text"))
    else:
        yield from _text_parts(first_text(item, *_TEXT_KEYS))


def _reasoning(item: Body) -> Iterator[Part]:
    thoughts: list[str] = []
    for key in ("thinking", "summary", "content"):  # `thinking` is a text (Anthropic) or a list of texts (Mistral)
        value = item.get(key)
        thoughts += (
            [value] if isinstance(value, str) else [first_text(part, *_TEXT_KEYS) for part in mappings_of(value)]
        )
    if text := "\n".join(filter(None, thoughts)):
        yield ReasoningPart(content=text)


def _call(item: Body) -> ToolCallPart:
    inner = mapping_of(item.get("function")) or mapping_of(item.get("custom")) or item
    arguments = next((inner[key] for key in _CALL_KEYS if inner.get(key) is not None), "")
    name = first_text(inner, "name") or first_text(item, "type").removesuffix("_call")
    return ToolCallPart(name=name, arguments=json_text(arguments), id=first_text(item, *_CALL_IDS))


def _result(item: Body) -> Iterator[Part]:
    """Yield the result of a tool: the joined texts of its content parts, or JSON if an item is no content part."""
    value = next((item[key] for key in _RESULT_KEYS if item.get(key) is not None), "")
    typed = [value] if isinstance(value, Mapping) else value
    if isinstance(typed, list) and typed and all(isinstance(part, Mapping) and "type" in part for part in typed):
        found = [tuple(_text_or_media(one)) for one in typed]
        if all(parts or one.get("text") == "" for one, parts in zip(typed, found, strict=True)):
            yield from _as_tool_response(tuple(chain.from_iterable(found)), first_text(item, *_CALL_IDS))
            return
    yield ToolResponsePart(response=json_text(value), id=first_text(item, *_CALL_IDS))


def _media(item: Body) -> Iterator[Part]:
    """Yield an image, audio, video or file by its digest."""
    kind = f"{first_text(item, 'modality')} {first_text(item, 'type')} {' '.join(key for key in _MEDIA_KEYS if key in item)}"
    inner = next((item[key] for key in _MEDIA_KEYS if item.get(key) is not None), item)
    source: Body = {"url": inner} if isinstance(inner, str) else mapping_of(inner)
    audio_format = first_text(source, "format")
    mime_type = first_text(source, "mime_type", "media_type") or (f"audio/{audio_format}" if audio_format else "")
    modality = next((one for one in _MODALITIES if one in f"{mime_type} {kind}"), "file")
    if data := first_text(source, *_DATA_KEYS):
        yield from _blob(modality, data, mime_type)
    elif url := first_text(source, *_URL_KEYS) or first_text(item, *_URL_KEYS):
        if url[:5].lower() == "data:":
            yield from _blob(modality, url, mime_type)
        else:
            yield UriPart(modality=modality, digest=_digest(url.encode()), mime_type=mime_type)


def _blob(modality: str, data: str, mime_type: str) -> Iterator[Part]:
    """Yield the blob in `data`: a ``data:`` URL or Base64. If `data` is neither, its own bytes are the blob. A truncated blob has no digest."""
    coded = True
    if data[:5].lower() == "data:":
        head, _, data = data[5:].partition(",")
        mime_type = mime_type or head.partition(";")[0]
        coded = head.endswith(";base64")
    if data.startswith(_TRUNCATED):
        return
    try:
        content = base64.b64decode(data) if coded else unquote_to_bytes(data)
    except (binascii.Error, ValueError):
        content = b""
    if content := content or data.encode():
        yield BlobPart(modality=modality, digest=_digest(content), size=len(content), mime_type=mime_type)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _text_parts(text: str) -> tuple[TextPart, ...]:
    return (TextPart(content=text),) if text else ()


def json_text(value: Any) -> str:
    """Return `value` if it is a text, else its JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
