"""Read messages, choices and tools from the attributes of a span in one of three layouts.

- OpenTelemetry: ``gen_ai.input.messages`` and ``gen_ai.output.messages``, as values or as JSON text. OpenLLMetry has it too.
- OpenInference: ``llm.input_messages.0.message.content`` and so on; for completions ``llm.prompts`` and ``llm.choices``.
- OpenLLMetry's earlier versions: ``gen_ai.prompt.0.content``, ``gen_ai.completion.0.content``.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from serving.decoded_json import mapping_of, mappings_of, text_of
from serving.intake.body_text import decoded
from serving.intake.body_values import check_json
from serving.intake.reported_exchange import has_content
from serving.openai_api.parts import choice_from, messages_from, tools_from
from stream.wire import Choice, Message, ToolDefinition

Attributes = Mapping[str, Any]
#: OpenInference writes this instead of a text that its settings hide.
_REDACTED = "__REDACTED__"
#: No layout has names with more levels.
_MAX_LEVELS = 10
#: In the JSON of a response of the Responses API, which an attribute limit may cut off.
_RESPONSE = re.compile(r'"object":\s*"response"')
_MEDIA = ("image", "audio", "video")
#: Types of the content parts of OpenAI's chats and of Anthropic's messages. A tuple: a value in a user's text may not be hashable.
_PART_TYPES = (
    *("text", "image_url", "input_audio", "file", "refusal"),
    *("image", "document", "thinking", "tool_use", "tool_result"),
)
#: First characters of messages, parts and tools in JSON; all other texts are a user's words, which must not be repaired.
_STRUCTURED = ("[{", "{")


class Content(msgspec.Struct, frozen=True):
    """The messages, choices and tool definitions in a span."""

    messages: tuple[Message, ...] = ()
    choices: tuple[Choice, ...] = ()
    tools: tuple[ToolDefinition, ...] = ()

    def __bool__(self) -> bool:
        return has_content(self.messages) or has_content(self.choices)


def content_of(attributes: Attributes) -> Content:
    """Return the content, which is empty if the application does not export content; raises UnreadablePayload, as :func:`json_value`."""
    shown = {name: value for name, value in attributes.items() if value != _REDACTED}
    found = (layout(shown) for layout in _LAYOUTS)
    return next((content for content in found if content), Content())


def json_value(value: Any) -> Any:
    """Return the value of a JSON text; another value, also a text that is not JSON, is returned unchanged.

    Raises UnreadablePayload if the text has too many values.
    """
    if not isinstance(value, str):
        return value
    check_json(value.encode())
    decode = decoded if value.startswith(_STRUCTURED) else msgspec.json.decode
    try:
        return decode(value.encode())
    except (ValueError, RecursionError):
        return value


def _opentelemetry(attributes: Attributes) -> Content:
    instructions = json_value(attributes.get("gen_ai.system_instructions"))
    system = [{"role": "system", "content": instructions}] if instructions else []
    outputs = json_value(attributes.get("gen_ai.output.messages"))
    if isinstance(outputs, str):  # JSON that an attribute limit cut off
        outputs = [{"text": outputs}]
    return Content(
        (*messages_from(system), *messages_from(json_value(attributes.get("gen_ai.input.messages")))),
        tuple(choice_from(output) for output in mappings_of(outputs)),
        tools_from(json_value(attributes.get("gen_ai.tool.definitions"))),
    )


def _openinference(attributes: Attributes) -> Content:
    prompts = _list(attributes, "llm.prompts", lambda item: _table(item, "prompt").get("text"))
    inputs = _list(attributes, "llm.input_messages", _openinference_message)
    outputs = _list(attributes, "llm.output_messages", _openinference_message)
    texts = _list(attributes, "llm.choices", lambda item: _table(item, "completion"))
    first: dict[int, Any] = {
        0: attributes.get("llm.finish_reason")
    }  # the span has no finish reasons of the other choices
    choices = [choice_from({"message": one, "finish_reason": first.get(place)}) for place, one in enumerate(outputs)]
    if choices and _RESPONSE.search(text_of(attributes.get("output.value"))):  # each message is an item of one answer
        parts = tuple(part for choice in choices for part in choice.parts)
        choices = [Choice(parts=parts, finish_reason=choices[0].finish_reason)]
    tools = _list(attributes, "llm.tools", lambda item: json_value(_table(item, "tool").get("json_schema")))
    completions = (choice_from({**one, "finish_reason": first.get(place)}) for place, one in enumerate(texts))
    return Content(messages_from([*inputs, *prompts]), (*choices, *completions), tools_from(tools))


def _openinference_message(item: Attributes) -> dict[str, Any]:
    message = dict(_table(item, "message"))
    if contents := _in_order(message.pop("contents", {}), _openinference_part):
        message["content"] = [*contents, *([message["content"]] if "content" in message else [])]
    message["tool_calls"] = _in_order(message.get("tool_calls"), lambda call: _table(call, "tool_call"))
    if name := message.pop("function_call_name", ""):
        arguments = message.pop("function_call_arguments_json", "")
        message["function_call"] = {"name": name, "arguments": arguments}
    return message


def _openinference_part(item: Attributes) -> dict[str, Any]:
    part = dict(_table(item, "message_content"))
    if text := _table(_table(part, "document"), "document").get("content"):
        return {"type": "text", "text": text}
    if part.get("type") == "reasoning":
        return {"type": "reasoning", "content": part.get("text")}
    return part | {kind: _table(part[kind], kind) for kind in _MEDIA if isinstance(part.get(kind), Mapping)}


def _openllmetry(attributes: Attributes) -> Content:
    functions = _list(attributes, "llm.request.functions", _openllmetry_tool)
    choices = _list(attributes, "gen_ai.completion", _openllmetry_message)
    messages = _list(attributes, "gen_ai.prompt", _openllmetry_prompt)
    return Content(messages_from(messages), tuple(map(choice_from, choices)), tools_from(functions))


def _openllmetry_message(item: Attributes) -> dict[str, Any]:
    return dict(item) | {"tool_calls": _in_order(item.get("tool_calls"), dict)}


def _openllmetry_prompt(item: Attributes) -> dict[str, Any]:
    """Return a message of a prompt. Its content is a text or the JSON of content parts; a user's text can also be a JSON list."""
    message, content = _openllmetry_message(item), json_value(item.get("content"))
    is_parts = isinstance(content, list) and all(mapping_of(part).get("type") in _PART_TYPES for part in content)
    return message | {"content": content} if content and is_parts else message


def _openllmetry_tool(item: Attributes) -> dict[str, Any]:
    return dict(item) | {"parameters": json_value(item.get("parameters"))}


_LAYOUTS = (_opentelemetry, _openinference, _openllmetry)


def _list(attributes: Attributes, prefix: str, item_of: Callable[[Attributes], Any]) -> list[Any]:
    """Return the items of a list whose attributes are ``prefix.0.name``, ``prefix.1.name`` and so on."""
    start = f"{prefix}."
    tree: dict[str, Any] = {}
    for name, value in attributes.items():
        if name.startswith(start):
            _plant(tree, name.removeprefix(start).split(".", _MAX_LEVELS), value)
    return _in_order(tree, item_of)


def _plant(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for step in path[:-1]:
        branch = tree.setdefault(step, {})
        if not isinstance(branch, dict):
            return
        tree = branch
    tree[path[-1]] = value


def _in_order(tree: Any, item_of: Callable[[Attributes], Any]) -> list[Any]:
    numbered = [
        (int(key), item) for key, item in mapping_of(tree).items() if key.isdecimal() and len(key) <= _MAX_LEVELS
    ]
    return [item_of(item) for _, item in sorted(numbered, key=lambda pair: pair[0]) if isinstance(item, Mapping)]


def _table(item: Any, name: str) -> Attributes:
    return mapping_of(mapping_of(item).get(name))
