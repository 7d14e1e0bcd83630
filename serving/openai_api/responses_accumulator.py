"""Build the recorded answer of the Responses API from its stream events, or from the whole response.

Reference: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from serving.backend import LAST_EVENTS
from serving.decoded_json import text_of
from serving.openai_api.accumulator import (
    CONTENT_FILTER,
    REASONING,
    TEXT,
    Accumulator,
    NewText,
    call_part,
    shown_reasons,
)
from serving.openai_api.parts import choices_from
from stream.wire import Choice, Part, ReasoningPart, TextPart, ToolCallPart

_TEXT_EVENTS = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.audio.transcript.delta": "content",
    "response.reasoning_text.delta": "reasoning_content",
    "response.reasoning_summary_text.delta": "reasoning_content",
}
#: Begins of the types of events that contain a whole text or content part.
_WHOLE_TEXT_EVENTS = ("response.output_text.", "response.refusal.", "response.content_part.")
_ARGUMENT_EVENTS = frozenset(
    {
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.mcp_call_arguments.delta",
        "response.code_interpreter_call_code.delta",
        "response.shell_call_command.added",
        "response.shell_call_command.delta",
    }
)
#: Events with an item, the last one for an item, and the fields of a call that are complete in the item.
_ITEM_DONE = "response.output_item.done"
_ITEM_EVENTS = {"response.output_item.added": ("name",), _ITEM_DONE: ("name", "arguments")}
#: Fields of a response that a stopped one keeps, besides its output: none of them repeats the text of the output, as the fields `output_text`
#: and `output_messages` of some servers do.
_KEPT = frozenset({
    "background", "completed_at", "conversation", "created_at", "error", "id", "incomplete_details", "instructions", "max_output_tokens",
    "max_tool_calls", "metadata", "model", "object", "output", "parallel_tool_calls", "previous_response_id", "prompt", "prompt_cache_key",
    "reasoning", "safety_identifier", "service_tier", "status", "store", "temperature", "text", "tool_choice", "tools", "top_logprobs",
    "top_p", "truncation", "usage", "user",
})  # fmt: skip
#: Most characters, plus `_PER_TEXT` for each text, of the texts with which the repeated texts of an answer are compared: several times the text
#: of a correct stream. After them, a repeated text counts as new text.
_MOST_COMPARED, _PER_TEXT = 128 * 1024**2, 256
_PARTS_WITH_DELTAS = TextPart | ToolCallPart | ReasoningPart
_Position = tuple[int, int]
_FILTERED = {"object": "response", "status": "incomplete", "incomplete_details": {"reason": CONTENT_FILTER}}
_FINISH_REASONS = {"completed": "stop", "failed": "error", "cancelled": "error"}


class ResponsesAccumulator(Accumulator):
    """The answer so far: one choice with all output items.

    The deltas are joined until the last event, which contains the whole output. Some servers omit deltas: their text is
    read from the events that contain the text as a whole.
    """

    def __init__(self) -> None:
        super().__init__(keep_logprobs=False)
        self._response: Mapping[str, Any] | None = None
        #: The newest response in an event before the last one, and the number of the newest event.
        self._begun: Mapping[str, Any] = {}
        self.sequence_number = -1
        #: The pieces of each text that no event has repeated as a whole, by output and content index; and the repeated texts.
        self._texts: defaultdict[_Position, list[str]] = defaultdict(list)
        self._known: set[str] = set()
        self._left = _MOST_COMPARED
        #: The output indexes and fields (`name`, `arguments`, `reasoning_content`) that events contained.
        self._contained: set[tuple[int, str]] = set()
        #: The parts that have no deltas: results of tools, images and files.
        self._whole_parts: dict[Part, None] = {}

    def add(self, chunk: Mapping[str, Any]) -> list[NewText]:
        """Add a stream event or a whole response; return the new texts, as texts of choice 0."""
        self.last = chunk
        if type(number := chunk.get("sequence_number")) is int:
            self.sequence_number = number
        # Some servers omit the field `object` of a whole response; an event of a stream has a type.
        if chunk.get("object") == "response" or ("output" in chunk and "type" not in chunk):
            self._note(chunk)
            self._response = chunk
            return _whole(choices_from(chunk))
        response = chunk.get("response")
        if isinstance(response, Mapping):
            self._note(response)
            self._begun = response
            if chunk.get("type") in LAST_EVENTS:
                self._response = response
        if delta := self._delta(chunk):
            added = self._add_choice({"delta": delta})
            self._texts[_position(chunk)] += [new.text for new in added if new.part == TEXT]
            return added
        if text := "\n".join(filter(None, [self._beyond(*repeated) for repeated in _repeated(chunk)])):
            return self._add_choice({"delta": {"content": text}})
        return []

    def _delta(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return an event as the delta of a chat completion, or {} if the event has no new text or tool call."""
        kind, delta, item = event.get("type"), event.get("delta"), event.get("item")
        if not isinstance(kind, str):
            return {}
        output = _position(event)[0]
        if kind in _TEXT_EVENTS:
            self._contained.add((output, _TEXT_EVENTS[kind]))
            return {_TEXT_EVENTS[kind]: delta}
        if kind in _ARGUMENT_EVENTS:
            self._contained.add((output, "arguments"))
            if delta is None:  # a further command of a shell call begins
                delta = "\n" + text_of(event.get("command"))
            return {"tool_calls": [{"index": event.get("output_index", 0), "function": {"arguments": delta}}]}
        if kind in _ITEM_EVENTS and isinstance(item, Mapping):
            parts = _parts(item)
            if kind == _ITEM_DONE and (reasoning := self._done(output, parts)):
                return {"reasoning_content": reasoning}
            return self._call(event, parts, _ITEM_EVENTS[kind])
        return {}

    def _done(self, output: int, parts: list[Part]) -> str:
        """Keep the parts of a complete item that have no deltas; return the item's reasoning if no event contained it before."""
        self._whole_parts |= {part: None for part in parts if not isinstance(part, _PARTS_WITH_DELTAS)}
        match parts:
            case [ReasoningPart(content=text)] if (output, "reasoning_content") not in self._contained:
                self._contained.add((output, "reasoning_content"))
                return text
        return ""

    def _call(self, event: Mapping[str, Any], parts: list[Part], fields: Collection[str]) -> dict[str, Any]:
        """Return those `fields` of the call in `parts` that no event contained before: some calls have no deltas."""
        call = next((part for part in parts if isinstance(part, ToolCallPart)), None)
        output = _position(event)[0]
        new = [field for field in fields if (output, field) not in self._contained]
        if call is None or not new:
            return {}
        self._contained.update((output, field) for field in new)
        function = {field: getattr(call, field) for field in new}
        return {"tool_calls": [{"index": event.get("output_index", 0), "id": call.id, "function": function}]}

    def _beyond(self, position: _Position, text: str) -> str:
        """Return the part of the whole `text` that no event contained before; indexes of other servers may be wrong."""
        if text in self._known:
            return ""
        self._known.add(text)
        before = self._joined(position)
        if before and text.startswith(before):
            del self._texts[position]
            return text[len(before) :]
        for other in self._texts:
            if self._left <= 0:
                break
            if text in (joined := self._joined(other)):
                self._texts[other] = [joined.replace(text, "", 1)]
                return ""
        return text

    def _joined(self, position: _Position) -> str:
        """Return the text at `position` that no event has repeated as a whole, or "" if no comparisons are left."""
        if self._left <= 0 or (pieces := self._texts.get(position)) is None:
            return ""
        pieces[:] = ["".join(pieces)]
        self._left -= len(pieces[0]) + _PER_TEXT
        return pieces[0]

    def stop(self, found: Collection[int] = ()) -> None:
        """End the answer with the finish reason of a content filter."""
        super().stop(found)
        if self._response is not None:
            self._response = {**self._response, **_FILTERED}

    def cut(self, index: int, part: str, characters: int) -> None:
        """Keep only the first `characters` of the text, or no text for a finding in the reasoning; the other parts are removed."""
        del index
        text = "".join(choice.text for choice in self.recorded())
        text = {TEXT: text[:characters], REASONING: ""}.get(part, text)
        message = {"type": "message", "role": "assistant", "status": "incomplete"}
        content = [{"type": "output_text", "text": text, "annotations": []}]
        self._response = {**(self._response or {}), **_FILTERED, "output": [message | {"content": content}]}

    def incomplete(self) -> dict[str, Any]:
        """Return the stopped response in the format of the API, without fields that the API does not have."""
        response = self._response or {**self._begun, **_FILTERED}
        return {name: value for name, value in response.items() if name in _KEPT}

    @property
    def finished(self) -> bool:
        """Whether the response has ended."""
        return self._response is not None

    @property
    def ended(self) -> set[int]:
        """The index of the only choice, if the response has ended."""
        return {0} if self.finished else set()

    @property
    def failed(self) -> bool:
        """Whether the response reports that its generation failed."""
        return self._response is not None and self._response.get("status") == "failed"

    @property
    def finish_reasons(self) -> list[str]:
        """The finish reason of the answer, if the response has ended."""
        return shown_reasons(choice.finish_reason for choice in self.recorded())

    def recorded(self) -> tuple[Choice, ...]:
        """Return the answer as one choice for the end record; the answer of a cancelled request is not complete."""
        so_far = super().recorded()
        if self._whole_parts:
            begun = next(iter(so_far), Choice())
            so_far = (msgspec.structs.replace(begun, parts=(*begun.parts, *self._whole_parts)),)
        if self._response is None:
            return so_far
        choice = next(iter(choices_from(self._response)), Choice())
        if choice.parts:  # the last event can lack text that the client has received
            left = ("".join(pieces) for pieces in self._texts.values())
            known = {_squeezed(part.content) for part in choice.parts if isinstance(part, TextPart)} | {""}
            others = (TextPart(content=text) for text in left if _squeezed(text) not in known)
            choice = msgspec.structs.replace(choice, parts=(*choice.parts, *others))
        elif so_far:  # the last event has no output items
            choice = msgspec.structs.replace(so_far[0], finish_reason=choice.finish_reason or so_far[0].finish_reason)
        status = self._response.get("status")
        reason = choice.finish_reason or (_FINISH_REASONS.get(status) if isinstance(status, str) else None)
        return (msgspec.structs.replace(choice, finish_reason=reason),) if choice.parts or reason else ()


def _squeezed(text: str) -> str:
    """Return `text` without white space, in which deltas and the last event of some servers differ."""
    return "".join(text.split())


def _whole(choices: tuple[Choice, ...]) -> list[NewText]:
    """Return the texts of a whole response."""
    parts = [part for choice in choices for part in choice.parts]
    texts = [(REASONING, part.content) for part in parts if isinstance(part, ReasoningPart)]
    texts.append((TEXT, "".join(choice.text for choice in choices)))
    calls = (part for part in parts if isinstance(part, ToolCallPart))
    texts += [(call_part(index), call.arguments) for index, call in enumerate(calls)]
    return [NewText(0, text, part) for part, text in texts if text]


def _repeated(event: Mapping[str, Any]) -> Iterator[tuple[_Position, str]]:
    """Yield the whole texts that an event contains: in a text, a content part, an output item or a response."""
    output, content = _position(event)
    for name in ("text", "refusal", "part"):
        if (value := event.get(name)) and str(event.get("type")).startswith(_WHOLE_TEXT_EVENTS):
            yield from (((output, content), text) for text in _texts(value))
    if isinstance(item := event.get("item"), Mapping):
        yield from (((output, index), text) for index, text in enumerate(_texts(item)))
    response = event.get("response")
    items = response.get("output") if isinstance(response, Mapping) else None
    for number, item in enumerate(items if isinstance(items, list) else ()):
        yield from (((number, index), text) for index, text in enumerate(_texts(item)))


def _texts(raw: Any) -> list[str]:
    """Return the texts of `raw`: an output item, a content part or a text. Reasoning and tool calls are left out."""
    item = raw if isinstance(raw, Mapping) else {"type": "text", "text": raw}
    return [part.content for part in _parts(item) if isinstance(part, TextPart)]


def _parts(item: Mapping[str, Any]) -> list[Part]:
    return [part for choice in choices_from({"output": [item]}) for part in choice.parts]


def _position(event: Mapping[str, Any]) -> _Position:
    output, content = event.get("output_index"), event.get("content_index")
    return output if type(output) is int else 0, content if type(content) is int else 0
