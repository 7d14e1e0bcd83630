"""Build the answer to a request from its chunks, for every engine."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from serving.backend import RUNNING_USAGE
from serving.decoded_json import first_text, mapping_of, mappings_of
from serving.openai_api.parts import content_from, json_text
from stream.wire import MAX_COUNT, SHOWN_REASON, Choice, Part, ReasoningPart, TextPart, ToolCallPart, Usage

#: The finish reason of an answer that the guard ended.
CONTENT_FILTER = "content_filter"

#: Parts of a choice: its text, its reasoning, and the arguments of each tool call (see :func:`call_part`).
TEXT, REASONING = "text", "reasoning"

_Fields = Mapping[str, Any]
#: Ids of other servers that spans may contain: they could be text of an answer.
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
#: Most choices of an answer: `n` for each prompt of a completion.
MAX_CHOICES = 2048
#: Most tool calls of a choice.
MAX_CALLS = 128


class NewText(NamedTuple):
    """Text that a chunk adds to a part of a choice."""

    choice: int
    text: str
    part: str = TEXT


def call_part(index: int) -> str:
    """Return the name of the part that consists of the arguments of a tool call."""
    return f"call {index}"


class Accumulator:
    """The answer so far. Chunks come from other programs: fields that do not fit OpenAI's format are ignored.

    The text of a choice is its content, its refusal and the transcript of its audio. `response_id` is the id in the
    chunks, or "". `last` is the last chunk. `stopped` is whether the guard ended the answer. `invalid_counts` is
    whether a token count was not an integer from 0 to `MAX_COUNT`; such a count is replaced by 0. If
    `keep_logprobs` is false, log-probabilities are dropped: an end record does not contain them.
    """

    def __init__(self, *, keep_logprobs: bool = True) -> None:
        self._keep_logprobs = keep_logprobs
        self._choices: dict[int, _ChoiceSoFar] = {}
        self.usage = Usage()
        self.invalid_counts = False
        self._ignored = 0
        self.response_id = ""
        self.stopped = False
        self.last: _Fields = {}

    def add(self, chunk: _Fields) -> list[NewText]:
        """Add a chunk or a whole response; return the new texts of its choices: reasoning, then text, then tool calls."""
        self.last = chunk
        self._note(chunk)
        return [new for index, choice in _numbered(chunk) for new in self._add_choice(choice, index)]

    @property
    def ended(self) -> set[int]:
        """The indexes of the choices in the last chunk that have a finish reason."""
        last = {index for index, _ in _numbered(self.last) if type(index) is int}
        return {index for index in last & self._choices.keys() if self._choices[index].finish_reason is not None}

    def stop(self, found: Collection[int] = ()) -> None:
        """End choices with the finish reason of a content filter: those in `found`, and those that did not end before the last chunk."""
        self.stopped = True
        last = [index for index, _ in _numbered(self.last)]
        for index, choice in self._choices.items():
            if choice.finish_reason is None or index in found or index in last:
                choice.finish_reason = CONTENT_FILTER

    def cut(self, index: int, part: str, characters: int) -> None:
        """Keep only the first `characters` of a part of a choice, and the parts before it; tool calls are removed."""
        if (choice := self._choices.get(index)) is not None:
            choice.cut(part, characters)

    def _note(self, fields: _Fields) -> None:
        """Take the usage and the id from a chunk or a response."""
        if isinstance(counts := fields.get(RUNNING_USAGE) or fields.get("usage"), Mapping):
            self.usage = self._usage(counts)
        if not self.response_id and _ID.fullmatch(name := first_text(fields, "id")):
            self.response_id = name

    def _add_choice(self, choice: _Fields, index: Any = 0) -> list[NewText]:
        if type(index) is not int or not 0 <= index <= MAX_COUNT or not _has_room(self._choices, index, MAX_CHOICES):
            self._ignored += 1
            return []
        if not self._keep_logprobs:
            choice = {name: value for name, value in choice.items() if name != "logprobs"}
        added = self._choices.setdefault(index, _ChoiceSoFar()).add(choice)
        return [NewText(index, text, part) for part, text in added if text]

    @property
    def ignored(self) -> int:
        """Number of ignored pieces of choices and tool calls: their index is invalid, or they are too many."""
        return self._ignored + sum(choice.ignored for choice in self._choices.values())

    @property
    def finished(self) -> bool:
        """Whether every choice has a finish reason; false without choices."""
        return bool(self._choices) and all(choice.finish_reason is not None for choice in self._choices.values())

    @property
    def finish_reasons(self) -> list[str]:
        """The finish reasons of the finished choices, in order."""
        return shown_reasons(choice.finish_reason for _, choice in self._in_order())

    @property
    def failed(self) -> bool:
        """Whether the response itself reports that its generation failed."""
        return False

    def recorded(self) -> tuple[Choice, ...]:
        """Return the choices for the end record; the choices of a cancelled request are not complete."""
        return tuple(choice.recorded() for _, choice in self._in_order())

    def chat_choices(self) -> list[dict[str, Any]]:
        """Return the choices of the response to a chat completion that is not streamed."""
        return [choice.whole(index, {"message": choice.message()}) for index, choice in self._in_order()]

    def text_choices(self) -> list[dict[str, Any]]:
        """Return the choices of the response to a plain completion that is not streamed."""
        return [choice.whole(index, {"text": "".join(choice.content)}) for index, choice in self._in_order()]

    @property
    def filtered(self) -> list[int]:
        """The indexes of the choices that a content filter ended, in order; [0] before the first choice."""
        return [index for index, choice in self._in_order() if choice.finish_reason == CONTENT_FILTER] or [0]

    def _in_order(self) -> "list[tuple[int, _ChoiceSoFar]]":
        return sorted(self._choices.items())

    def _usage(self, counts: _Fields) -> Usage:
        return Usage(
            prompt_tokens=self._count(counts, "prompt_tokens", "input_tokens"),
            completion_tokens=self._count(counts, "completion_tokens", "output_tokens"),
        )

    def _count(self, counts: _Fields, *names: str) -> int:
        value = next((counts[name] for name in names if name in counts), 0)
        if type(value) is int and 0 <= value <= MAX_COUNT:
            return value
        self.invalid_counts = True
        return 0


def _numbered(chunk: _Fields) -> list[tuple[Any, _Fields]]:
    """Return the choices with their indexes. Some servers omit the indexes, or send whole choices with the same index: then the position counts."""
    choices = list(mappings_of(chunk.get("choices")))
    indexes = [position if (index := choice.get("index")) is None else index for position, choice in enumerate(choices)]
    if len(choices) > 1 and all("message" in choice or choice.get("finish_reason") for choice in choices):
        distinct = {index for index in indexes if type(index) is int}
        indexes = indexes if len(distinct) == len(choices) else list(range(len(choices)))
    return list(zip(indexes, choices, strict=True))


def shown_reasons(reasons: Iterable[str | None]) -> list[str]:
    """Return the finish reasons that spans may contain."""
    return [reason for reason in reasons if reason is not None and SHOWN_REASON.fullmatch(reason)]


class _ChoiceSoFar:
    """One choice: the pieces of its text, reasoning and tool calls."""

    def __init__(self) -> None:
        self.content: list[str] = []
        self.finish_reason: str | None = None
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._transcript: list[str] = []
        self.ignored = 0
        self._calls: dict[int, _CallSoFar] = {}
        #: For an index that several calls have, the key in `_calls` of the newest.
        self._places: dict[int, int] = {}
        self._logprobs: dict[str, list[Any] | None] = {}
        self._role = "assistant"

    def add(self, choice: _Fields) -> list[tuple[str, str]]:
        """Add a chunk's choice; return (part, new text)."""
        fields = choice.get("delta") or choice.get("message")
        if not isinstance(fields, Mapping):
            fields = {"content": choice.get("text")}
        content, thoughts = _content(fields)
        refusal = first_text(fields, "refusal")
        transcript = first_text(mapping_of(fields.get("audio")), "transcript")
        _append(self.content, content)
        _append(self._refusal, refusal)
        _append(self._transcript, transcript)
        reasoning = first_text(fields, "reasoning_content", "reasoning") or thoughts
        _append(self._reasoning, reasoning)
        added = [(REASONING, reasoning), (TEXT, content + refusal + transcript)]
        self._role = first_text(fields, "role") or self._role
        for position, call in enumerate(_calls(fields)):
            index = self._index_of(call, position)
            if type(index) is int and _has_room(self._calls, index, MAX_CALLS):
                added.append((call_part(index), self._calls.setdefault(index, _CallSoFar()).add(call)))
            else:
                self.ignored += 1
        if isinstance(logprobs := choice.get("logprobs"), Mapping):
            for name, values in logprobs.items():
                known = self._logprobs.setdefault(name, None)
                if isinstance(values, list):
                    if known is None:
                        known = self._logprobs[name] = []
                    known.extend(values)
        if reason := first_text(choice, "finish_reason"):
            self.finish_reason = reason
        return added

    def _index_of(self, call: _Fields, position: int) -> Any:
        """Return the index of the call to which a piece belongs.

        A new id begins a new call if the piece has no index, or also has a name: some servers send all parallel calls with the index 0.
        """
        index, name = call.get("index"), first_text(call, "id")
        if index is None and not name and position == 0 and self._calls:
            return next(reversed(self._calls))  # a piece of the call that began last
        begins = name and (index is None or first_text(_called(call), "name"))
        index = position if index is None else index
        if type(index) is not int:
            return index
        place = self._places.get(index, index)
        known = self._calls.get(place)
        if begins and known is not None and known.id not in {"", name}:
            place = next((at for at, other in self._calls.items() if other.id == name), max(self._calls) + 1)
            self._places[index] = place
        return place

    def cut(self, part: str, characters: int) -> None:
        if part == REASONING:
            self._reasoning = ["".join(self._reasoning)[:characters]]
        text = "".join((*self.content, *self._refusal, *self._transcript))
        text = {REASONING: "", TEXT: text[:characters]}.get(part, text)
        self.content = [text] if text else []
        self._refusal, self._transcript = [], []
        self._calls, self._logprobs = {}, {}

    def recorded(self) -> Choice:
        parts: list[Part] = []
        if self._reasoning:
            parts.append(ReasoningPart(content="".join(self._reasoning)))
        texts = (self.content, self._refusal, self._transcript)
        parts += [TextPart(content="".join(pieces)) for pieces in texts if pieces]
        if self._calls:
            parts += [call.recorded() for _, call in sorted(self._calls.items())]
        return Choice(role=self._role, parts=tuple(parts), finish_reason=self.finish_reason)

    def message(self) -> dict[str, Any]:
        content = "".join(self.content) if self.content or not self._calls else None
        message: dict[str, Any] = {
            "role": self._role,
            "content": content,
            "refusal": "".join(self._refusal) if self._refusal else None,
        }
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        if self._calls:
            message["tool_calls"] = [call.whole() for _, call in sorted(self._calls.items())]
        return message

    def whole(self, index: int, content: dict[str, Any]) -> dict[str, Any]:
        logprobs = self._logprobs or None
        return {"index": index, **content, "logprobs": logprobs, "finish_reason": self.finish_reason}


class _CallSoFar:
    """One tool call: id, name, and the pieces of its arguments, or of the input of a custom tool."""

    def __init__(self) -> None:
        self.id = ""
        self._name: list[str] = []
        self._arguments: list[str] = []
        self._is_custom = False

    def add(self, call: _Fields) -> str:
        """Add a chunk's call; return the new text of its arguments."""
        self._is_custom |= isinstance(call.get("custom"), Mapping)
        fields = _called(call)
        self.id = first_text(call, "id") or self.id
        _append(self._name, first_text(fields, "name"))
        sent = fields.get("arguments") or fields.get("input")
        arguments = json_text(sent) if sent else ""  # some servers send an object
        _append(self._arguments, arguments)
        return arguments

    def recorded(self) -> ToolCallPart:
        return ToolCallPart(id=self.id, name="".join(self._name), arguments="".join(self._arguments))

    def whole(self) -> dict[str, Any]:
        name, arguments = "".join(self._name), "".join(self._arguments)
        if self._is_custom:
            return {"id": self.id, "type": "custom", "custom": {"name": name, "input": arguments}}
        return {"id": self.id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _called(call: _Fields) -> _Fields:
    """Return the fields of the function or of the custom tool that is called."""
    return next((fields for kind in ("function", "custom") if isinstance(fields := call.get(kind), Mapping)), {})


def _calls(fields: _Fields) -> Iterator[_Fields]:
    """Yield the tool calls of a delta or message, also one in the older field `function_call`."""
    yield from mappings_of(fields.get("tool_calls"))
    if isinstance(call := fields.get("function_call"), Mapping):
        yield {"function": call}


def _content(fields: _Fields) -> tuple[str, str]:
    """Return the text and the reasoning in the content, which may be a part or a list of parts."""
    content = fields.get("content")
    if isinstance(content, str):
        return content, ""
    parts = tuple(content_from(content))
    text = "".join(part.content for part in parts if isinstance(part, TextPart))
    return text, "".join(part.content for part in parts if isinstance(part, ReasoningPart))


def _append(pieces: list[str], text: str) -> None:
    if text:
        pieces.append(text)


def _has_room(known: Mapping[int, object], index: int, most: int) -> bool:
    """Return whether `known` contains `index`, or has room for it."""
    return index in known or len(known) < most
