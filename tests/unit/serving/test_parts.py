"""Conversion of OpenAI's JSON to the parts of a record."""

import base64
import hashlib
import json
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest
from openai import BaseModel
from openai.types.responses import ResponseOutputItem
from support.cases import cases

from serving.openai_api.parts import choice_from, choices_from, message_from, messages_from, tools_from
from stream.wire import Choice, Message, TextPart, ToolCallPart, ToolDefinition, ToolResponsePart

CASES = cases(__file__)
PNG = b"\x89PNG\r\n\x1a\n"


def digest(content):
    return hashlib.sha256(content).hexdigest()


def plain(struct):
    return json.loads(msgspec.json.encode(struct))


@pytest.mark.parametrize(("raw", "expected"), CASES["messages"])
def test_messages_are_converted(raw, expected):
    assert message_from(raw) == msgspec.convert(expected, Message)


@pytest.mark.parametrize(("raw", "expected"), CASES["choices"])
def test_choices_are_converted(raw, expected):
    assert choice_from(raw) == msgspec.convert(expected, Choice)


@pytest.mark.parametrize(("raw", "expected"), CASES["tools"])
def test_tools_are_converted(raw, expected):
    assert tools_from(raw) == msgspec.convert(expected, tuple[ToolDefinition, ...])


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(PNG).decode()}},
        {"type": "input_image", "image_url": "data:image/png;base64," + base64.b64encode(PNG).decode()},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()},
        },
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": base64.b64encode(PNG).decode()},
    ],
)
def test_an_inline_image_is_recorded_by_digest_and_size(part):
    message = message_from({"role": "user", "content": [part]})
    blob = {"type": "blob", "modality": "image", "digest": digest(PNG), "size": len(PNG), "mime_type": "image/png"}
    assert plain(message)["parts"] == [blob]


@pytest.mark.parametrize(
    ("part", "modality", "url"),
    [
        ({"type": "image_url", "image_url": {"url": "https://x/secret.png"}}, "image", b"https://x/secret.png"),
        ({"type": "input_image", "image_url": "https://x/secret.png"}, "image", b"https://x/secret.png"),
        ({"type": "file", "file": {"file_id": "file-secret"}}, "file", b"file-secret"),
        ({"type": "input_file", "file_url": "https://x/secret.pdf"}, "file", b"https://x/secret.pdf"),
    ],
)
def test_a_url_is_recorded_by_digest_only(part, modality, url):
    message = message_from({"role": "user", "content": [part, {"type": "text", "text": "look"}]})
    assert plain(message)["parts"][0] == {"type": "uri", "modality": modality, "digest": digest(url)}
    assert message.text == "look"
    assert "secret" not in repr(message)


def test_sound_files_and_data_urls_without_base64_are_recorded_by_digest():
    content = [
        {"type": "input_audio", "input_audio": {"data": base64.b64encode(b"RIFF").decode(), "format": "wav"}},
        {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain,a%20b"}},
        {"type": "file", "file": {"file_data": "=?"}},
    ]
    sound, text, broken = message_from({"role": "user", "content": content}).parts
    assert (sound.modality, sound.size, sound.mime_type) == ("audio", 4, "audio/wav")
    assert (text.modality, text.digest, text.mime_type) == ("file", digest(b"a b"), "text/plain")
    assert broken.modality == "file"


def test_a_list_of_the_responses_api_is_converted():
    items = [
        "hi",
        {"type": "function_call", "call_id": "c1", "name": "get", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "17"},
        7,
    ]
    assert messages_from(items) == (
        Message.of_text("user", "hi"),
        Message(role="assistant", parts=(ToolCallPart(name="get", arguments="{}", id="c1"),)),
        Message(role="tool", parts=(ToolResponsePart(response="17", id="c1"),)),
    )
    assert messages_from("hi") == (Message.of_text("user", "hi"),)
    assert messages_from(None) == ()


def test_the_output_of_the_responses_api_is_one_choice():
    body = {
        "output": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ho"}]},
            {"type": "function_call", "call_id": "c1", "name": "get", "arguments": "{}"},
        ],
        "incomplete_details": {"reason": "max_output_tokens"},
    }
    parts = (TextPart(content="ho"), ToolCallPart(name="get", arguments="{}", id="c1"))
    assert choices_from(body) == (Choice(parts=parts, finish_reason="length"),)
    assert choices_from({"choices": [{"text": "a"}, 3, {"text": "b"}]}) == (
        Choice(parts=(TextPart(content="a"),)),
        Choice(parts=(TextPart(content="b"),)),
    )


def test_a_schema_that_is_nested_too_deep_is_left_out():
    schema = {"type": "string"}
    for _ in range(63):
        schema = {"items": schema}
    kept, left_out = tools_from(
        [{"name": "get", "parameters": schema}, {"name": "get", "parameters": {"items": schema}}]
    )
    assert kept == ToolDefinition(name="get", parameters=schema)
    assert left_out == ToolDefinition(name="get")


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"role": 3, "content": 4, "tool_calls": 5, "refusal": [], "reasoning": {}},
        {"role": "user", "content": [None, 3, [], {}, {"type": 3}, {"type": "image_url", "image_url": 3}]},
        {"role": "assistant", "content": None, "tool_calls": [None, {}, {"function": 3}, {"function": {"name": 3}}]},
        {"role": "tool", "content": None},
        {"type": "reasoning", "summary": 3},
    ],
)
def test_strange_values_are_skipped(raw):
    for struct in (message_from(raw), choice_from(raw), *tools_from([raw])):
        msgspec.json.decode(msgspec.json.encode(struct), type=type(struct))


#: Texts of an item that are no content: ids, names of servers, and encrypted text.
NO_CONTENT = {"created_by", "encrypted_content", "fingerprint", "id", "namespace", "server_label"}


def example(annotation: Any, name: str = "") -> Any:
    """Return a value of a type of openai's client; each text with content is CANARY."""
    kind, args = get_origin(annotation), get_args(annotation)
    if kind is Literal:
        return args[0]
    if kind is list:
        return [example(args[0])]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {
            field: example(info.annotation, field)
            for field, info in annotation.model_fields.items()
            if info.is_required() and field not in NO_CONTENT and not field.endswith("_id")
        }
    if args:
        return example(args[0], name)
    return {str: "CANARY", object: "CANARY", bool: True, int: 1, float: 0.5}.get(annotation)


@pytest.mark.parametrize("item", get_args(get_args(ResponseOutputItem)[0]), ids=lambda item: item.__name__)
def test_the_text_of_each_item_of_openais_client_is_recorded(item):
    raw = example(item) | {"id": "i"}
    for parts in (choices_from({"output": [raw]}), (message_from(raw),)):
        assert ("CANARY" in msgspec.json.encode(parts).decode()) == ("CANARY" in json.dumps(raw))
        texts = (part for message in parts for part in message.parts if isinstance(part, TextPart))
        assert not any(part.content.startswith("{") for part in texts), "add a rule for this type to parts.py"


@pytest.mark.parametrize(
    ("raw", "role", "part"),
    [
        (
            {"type": "mcp_call", "id": "m", "name": "f", "arguments": "", "error": {"type": "x", "content": "no"}},
            "assistant",
            ToolResponsePart(response="no", id="m"),
        ),
        ({"type": "mcp_approval_response", "approve": False, "reason": "no"}, "tool", ToolResponsePart(response="no")),
        ({"type": "mcp_list_tools", "error": "no"}, "tool", ToolResponsePart(response="no")),
        ({"type": "image_generation_call", "revised_prompt": "a cat"}, "assistant", TextPart(content="a cat")),
        (
            {"type": "computer_call", "call_id": "c", "actions": [{"type": "type", "text": "a"}]},
            "assistant",
            ToolCallPart(name="computer", arguments='[{"type":"type","text":"a"}]', id="c"),
        ),
        (
            {"type": "new", "id": "n", "status": "completed", "x": {"y": "z" * 70_000}},
            "assistant",
            TextPart(content='{"type":"new","x":{"y":"' + "z" * (65_536 - 24)),
        ),
    ],
)
def test_text_in_further_fields_of_an_item_is_recorded(raw, role, part):
    message = message_from(raw)
    assert (message.role, message.parts[-1]) == (role, part)


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "item_reference", "id": "i"},
        {"type": "compaction", "id": "i", "encrypted_content": "secret"},
        {"type": "redacted_thinking", "data": "secret"},
        {"type": "text", "text": "", "cache_control": {"type": "ephemeral"}},
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
    ],
)
def test_an_item_without_text_has_no_parts(raw):
    assert message_from(raw).parts == ()
