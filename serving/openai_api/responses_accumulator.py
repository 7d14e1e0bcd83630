"""Build the recorded answer of the Responses API from its stream events, or from the whole response.

Reference: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from serving.openai_api.accumulator import CONTENT_FILTER, Accumulator, NewText, shown_reasons
from serving.openai_api.parts import choices_from
from stream.wire import Choice

__all__ = ["ResponsesAccumulator"]

# A tuple: the type of an event from another server may be a value that a set cannot look up.
_LAST_EVENTS = ("response.completed", "response.incomplete", "response.failed")
_TEXT_EVENTS = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning_content",
    "response.reasoning_summary_text.delta": "reasoning_content",
}
_ARGUMENT_EVENTS = frozenset(
    {
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.mcp_call_arguments.delta",
        "response.code_interpreter_call_code.delta",
    }
)
_FILTERED = {"object": "response", "status": "incomplete", "incomplete_details": {"reason": CONTENT_FILTER}}
_FINISH_REASONS = {"completed": "stop", "failed": "error", "cancelled": "error"}


class ResponsesAccumulator(Accumulator):
    """The answer so far: one choice with all output items. The last event contains them; until then, the deltas are joined."""

    def __init__(self) -> None:
        super().__init__(keep_logprobs=False)
        self._response: Mapping[str, Any] | None = None

    def add(self, chunk: Mapping[str, Any]) -> list[NewText]:
        """Add a stream event or a whole response; return the new text, of choice 0."""
        self.last = chunk
        if chunk.get("object") == "response":
            self._note(chunk)
            self._response = chunk
            return [NewText(0, text)] if (text := "".join(choice.text for choice in self.recorded())) else []
        response = chunk.get("response")
        if isinstance(response, Mapping):
            self._note(response)
            if chunk.get("type") in _LAST_EVENTS:
                self._response = response
        new = self._add_choice({"delta": delta}) if (delta := _delta(chunk)) else NewText(0, "")
        return [new] if new.text else []

    def stop(self) -> None:
        """End the answer with the finish reason of a content filter."""
        super().stop()
        if self._response is not None:
            self._response = {**self._response, **_FILTERED}

    def cut(self, index: int, characters: int) -> None:
        """Keep only the first `characters` of the text; reasoning and tool calls are removed."""
        del index
        text = "".join(choice.text for choice in self.recorded())[:characters]
        message = {"type": "message", "role": "assistant", "status": "incomplete"}
        content = [{"type": "output_text", "text": text, "annotations": []}]
        self._response = {**(self._response or {}), **_FILTERED, "output": [message | {"content": content}]}

    def incomplete(self) -> dict[str, Any]:
        """Return the stopped response in the format of the API."""
        return dict(self._response or _FILTERED)

    @property
    def finished(self) -> bool:
        """Whether the response has ended."""
        return self._response is not None

    @property
    def failed(self) -> bool:
        """Whether the response reports that its generation failed."""
        return self._response is not None and self._response.get("status") == "failed"

    @property
    def finish_reasons(self) -> list[str]:
        """The finish reason of the answer, if the response has ended."""
        return shown_reasons(choice.finish_reason for choice in self.recorded())

    def recorded(self) -> tuple[Choice, ...]:
        """Return the answer as one choice for the end record; that of a cancelled request is not complete."""
        so_far = super().recorded()
        if self._response is None:
            return so_far
        choice = next(iter((*choices_from(self._response), *so_far)), Choice())
        if not choice.parts and so_far:  # a last event without the output items
            choice = msgspec.structs.replace(choice, parts=so_far[0].parts)
        status = self._response.get("status")
        reason = choice.finish_reason or (_FINISH_REASONS.get(status) if isinstance(status, str) else None)
        return (msgspec.structs.replace(choice, finish_reason=reason),) if choice.parts or reason else ()


def _delta(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event as the delta of a chat completion, or {} if the event has no new text or tool call."""
    kind, delta = event.get("type"), event.get("delta")
    if not isinstance(kind, str):
        return {}
    if kind in _TEXT_EVENTS:
        return {_TEXT_EVENTS[kind]: delta}
    if kind in _ARGUMENT_EVENTS:
        return {"tool_calls": [{"index": event.get("output_index", 0), "function": {"arguments": delta}}]}
    item = event.get("item")
    if kind == "response.output_item.added" and isinstance(item, Mapping):
        item_type = item.get("type")
        if isinstance(item_type, str) and item_type.endswith("_call"):
            name = item.get("name") or item_type.removesuffix("_call")
            call = {"id": item.get("call_id") or item.get("id"), "function": {"name": name}}
            return {"tool_calls": [{"index": event.get("output_index", 0), **call}]}
    return {}
