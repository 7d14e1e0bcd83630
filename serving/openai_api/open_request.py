"""A request whose fields the engine checks: Weir reads the few fields that it needs, and the engine receives all of them.

Engines with the feature `any_field` get such requests; for the others, :mod:`serving.openai_api.request_model` checks every field.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from serving.backend import Operation, answers_in
from serving.decoded_json import UndecodableJson, decode_object, first_text, mapping_of
from serving.openai_api.accumulator import MAX_CHOICES
from serving.openai_api.errors import invalid
from serving.openai_api.parts import texts_in
from serving.openai_api.request_model import NAME_CHARACTERS, check_metadata, got

#: Most messages, texts, documents, tools and their parts of a request: the event loop would process more of them for seconds.
MAX_ITEMS = 16_384
_LISTS = ("messages", "input", "prompt", "documents", "tools", "functions")
#: Levels of lists in such an item that are read: the parts of a message, and the texts of a part.
_DEPTH = 2
_STREAMED = frozenset({"chat", "text_completion", "responses"})


#: An inline image as a JSON string; some encoders write a slash as a backslash and a slash.
_IMAGE = re.compile(rb'"data:image\\?/[^",]{1,128},[A-Za-z0-9+/=_\\-]*"')


class _Named(msgspec.Struct):
    model: str = ""


_NAMED = msgspec.json.Decoder(_Named)


def model_of(raw: bytes) -> str:
    """Return the model that a request names, or "" if it names no model or is not valid JSON."""
    try:
        return _NAMED.decode(raw).model
    except (ValueError, RecursionError):
        return ""


def size_without_images(raw: bytes) -> int:
    """Return the size of a request in bytes without its inline images (``data:`` URLs in Base64)."""
    return len(raw) - sum(image.end() - image.start() for image in _IMAGE.finditer(raw))


class OpenRequest:
    """The body of a request."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body
        self.model: str = body["model"]

    @classmethod
    def parse(cls, raw: bytes, operation: Operation) -> "OpenRequest":
        """Parse `raw`; raises ApiError 400 if it is not a JSON object, or a field that Weir reads has a wrong value."""
        try:
            body = decode_object(raw)
        except UndecodableJson as error:
            raise invalid(f"The body is not valid JSON: {error}.", code="invalid_json") from None
        if "model" not in body:
            raise invalid("model is missing; send it.", code="missing_required_parameter", param="model")
        _check(body, "model", str, "a string")
        if (length := len(body["model"])) > NAME_CHARACTERS:
            raise invalid(f"model has {length} characters, the limit is {NAME_CHARACTERS}; shorten it.", param="model")
        if body.get("stream") is not None:
            _check(body, "stream", bool, "true or false")
        if body.get("stream") and operation not in _STREAMED:
            raise invalid("stream is true, but this endpoint has no streams; leave it out.", param="stream")
        if body.get("stream_options") is not None:
            _check(body, "stream_options", dict, "an object")
        check_metadata(body.get("metadata"))
        if body.get("background"):
            raise invalid(
                "background is true, but Weir records an answer only while its client waits; leave it out.",
                code="unsupported_parameter",
                param="background",
            )
        if (items := _items(body)) > MAX_ITEMS:
            raise invalid(
                f"the messages, texts, documents, tools and their parts are {items} items, the limit is {MAX_ITEMS}; send fewer."
            )
        if (answers := answers_in(operation, body)) > MAX_CHOICES:
            raise invalid(
                f"the prompts and n ask for {answers} answers, the limit is {MAX_CHOICES}; send fewer in one request.",
                param="n" if operation == "chat" else "prompt",
            )
        return cls(body)

    @property
    def conversation(self) -> str:
        """The conversation id in the metadata, or ""."""
        return first_text(mapping_of(self._body.get("metadata")), "conversation_id")

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with a chunk that contains the token usage."""
        return (self._body.get("stream_options") or {}).get("include_usage") is True

    def body(self) -> dict[str, Any]:
        """Return the decoded JSON as the client sent it."""
        return self._body


def _items(body: Mapping[str, Any]) -> int:
    """Return the number of messages, texts, documents, tools and their parts; reading 100,000 of them would block the event loop for a second.

    Token ids are not recorded and not counted.
    """
    lists = [body.get(name) for name in _LISTS]
    lists.append(mapping_of(body.get("prediction")).get("content"))
    lists.append(list(texts_in(body.get("chat_template_kwargs"))))
    lists.append(list(mapping_of(mapping_of(body.get("prompt")).get("variables")).values()))
    items = [item for values in lists if isinstance(values, list) for item in values if isinstance(item, Mapping | str)]
    count = len(items)
    for _ in range(_DEPTH):
        nested = [value for item in items if isinstance(item, Mapping) for value in item.values()]
        items = [item for values in nested if isinstance(values, list) for item in values]
        count += len(items)
    return count


def _check(body: Mapping[str, Any], name: str, kind: type, what: str) -> None:
    if type(value := body[name]) is not kind:
        raise invalid(f"{name} must be {what}{got(value)}.", param=name)
