"""Find the tool calls in an answer's text, as the text grows.

Format of the tags: Hermes function calling, which the chat templates of Qwen, SmolLM and Hermes models ask for
(https://github.com/NousResearch/Hermes-Function-Calling): ``<tool_call>{"name": ..., "arguments": ...}</tool_call>``.
"""

import json
from typing import Any, Protocol

import msgspec

from serving.engine.chat_template import TOOL_CALL_END, TOOL_CALL_TAG
from serving.engine.text_stream import StopStrings
from serving.replica.engine_request import ToolCalls


class Piece(msgspec.Struct):
    """New text of the answer, and the new parts of its tool calls, in OpenAI's delta format."""

    text: str = ""
    calls: list[dict[str, Any]] = []


class ToolCallReader(Protocol):
    """Splits an answer into text and tool calls."""

    calls: int

    def push(self, text: str) -> Piece:
        """Add text of the answer; return the text and tool calls that can be sent now."""

    def flush(self) -> Piece:
        """Return the rest; call this at the end of the answer."""


def tool_call_reader(kind: ToolCalls, function: str, id_prefix: str) -> ToolCallReader:
    """Return a reader for one answer; the ids of its calls are `id_prefix` and a number."""
    if kind == "tagged":
        return _Tagged(id_prefix)
    if kind == "named":
        return _Named(id_prefix, function)
    return _Listed(id_prefix) if kind == "listed" else _NoCalls()


class _NoCalls:
    """The answer is text."""

    calls = 0

    def push(self, text: str) -> Piece:
        return Piece(text=text)

    def flush(self) -> Piece:
        return Piece()


class _Named:
    """The answer is the arguments of one function."""

    def __init__(self, id_prefix: str, function: str) -> None:
        self.calls = 0
        self._head = {"id": f"{id_prefix}0", "type": "function"}
        self._function = function

    def push(self, text: str) -> Piece:
        function = {"arguments": text} if self.calls else {"name": self._function, "arguments": text}
        head = {} if self.calls else self._head
        self.calls = 1
        return Piece(calls=[{"index": 0, **head, "function": function}])

    def flush(self) -> Piece:
        return Piece()


class _Listed:
    """The answer is a JSON list of calls; a list that was cut off by `max_tokens` is returned as text."""

    def __init__(self, id_prefix: str) -> None:
        self.calls = 0
        self._id_prefix = id_prefix
        self._text = ""

    def push(self, text: str) -> Piece:
        self._text += text
        return Piece()

    def flush(self) -> Piece:
        listed = _parsed(self._text)
        found = [
            _call(item, index, self._id_prefix) for index, item in enumerate(listed if isinstance(listed, list) else ())
        ]
        calls = [call for call in found if call is not None]
        self.calls = len(calls)
        return Piece(calls=calls) if calls else Piece(text=self._text)


class _Tagged:
    """The answer is text with calls between tags; a call that is not a JSON object with a name is returned as text.

    The last call may lack the closing tag: the tag may be a stop string.
    """

    def __init__(self, id_prefix: str) -> None:
        self.calls = 0
        self._id_prefix = id_prefix
        self._inside = False
        self._body = ""
        self._tag = StopStrings((TOOL_CALL_TAG,))

    def push(self, text: str) -> Piece:
        piece = Piece(calls=[])
        while text:
            text = self._inside_call(text, piece) if self._inside else self._outside_call(text, piece)
        return piece

    def flush(self) -> Piece:
        if not self._inside:
            return Piece(text=self._tag.flush())
        piece = Piece(calls=[])
        self._end_call(self._body, "", piece)
        return piece

    def _outside_call(self, text: str, piece: Piece) -> str:
        """Take text up to the next opening tag; return the text after the tag."""
        piece.text += self._tag.push(text)
        if not self._tag.stopped:
            return ""
        rest, self._inside, self._tag = self._tag.rest, True, StopStrings((TOOL_CALL_TAG,))
        return rest

    def _inside_call(self, text: str, piece: Piece) -> str:
        """Take text up to the closing tag; return the text after the tag."""
        self._body += text
        body, tag, rest = self._body.partition(TOOL_CALL_END)
        if not tag:
            return ""
        self._inside, self._body = False, ""
        self._end_call(body, tag, piece)
        return rest

    def _end_call(self, body: str, tag: str, piece: Piece) -> None:
        call = _call(_parsed(body), self.calls, self._id_prefix)
        if call is None:
            piece.text += f"{TOOL_CALL_TAG}{body}{tag}"
        else:
            self.calls += 1
            piece.calls.append(call)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _call(item: Any, index: int, id_prefix: str) -> dict[str, Any] | None:
    """Return a parsed call in OpenAI's format, or None if it has no name."""
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        return None
    arguments = item.get("arguments", {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    function = {"name": _encodable(item["name"]), "arguments": _encodable(text)}
    return {"index": index, "id": f"{id_prefix}{index}", "type": "function", "function": function}


def _encodable(text: str) -> str:
    """Return `text` with ``?`` for each lone surrogate, which JSON can escape but UTF-8 and records cannot contain."""
    return text.encode("utf-8", "replace").decode()
