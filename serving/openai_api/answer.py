"""Build the client's response: a backend's chunks with id, creation time and model, or the whole response."""

import re
from typing import Any, ClassVar

from serving.backend import RUNNING_USAGE, OpenAIChunk, Operation
from serving.openai_api.accumulator import CONTENT_FILTER, Accumulator
from serving.openai_api.responses_accumulator import ResponsesAccumulator
from stream.wire import Usage

#: The type of an event of the Responses API, which is also the name of the server-sent event.
_EVENT_NAME = re.compile(r"[a-z_]+(\.[a-z_]+)*")


def _counts(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def _stopped_choices(answer: Accumulator, empty: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"index": index, **empty, "logprobs": None, "finish_reason": CONTENT_FILTER} for index in answer.filtered]


class Answer:
    """Formats one response. All its chunks have the same id (from `request_id`) and creation time (seconds since the epoch).

    With `include_usage`, a stream ends with a chunk that contains the token usage; the earlier chunks have ``usage: null``.
    """

    prefix: str
    whole_object: str
    chunk_object: str
    #: The content of a choice without new text.
    _empty: ClassVar[dict[str, Any]] = {"delta": {}}
    #: Whether the backend, not Weir, decides if an answer is complete.
    relayed = False
    #: Whether a stream ends with the event ``[DONE]``.
    has_done = True

    def __init__(self, request_id: str, model: str, model_version: str, created: int, *, include_usage: bool) -> None:
        self.id = f"{self.prefix}-{request_id.replace('-', '')}"
        self._head = {"created": created, "model": model, "system_fingerprint": f"fp_{model_version}"}
        self._include_usage = include_usage

    def answered_by(self, version: str) -> None:
        """Set the version that answers."""
        self._head["system_fingerprint"] = f"fp_{version}"

    def accumulator(self) -> Accumulator:
        """Return an accumulator for the backend's chunks."""
        return Accumulator()

    def chunk(self, chunk: OpenAIChunk) -> dict[str, Any] | None:
        """Return a backend's chunk as the client receives it, or None if the client does not receive it."""
        return self._chunk(chunk["choices"])

    def event_name(self, event: dict[str, Any]) -> str:
        """Return the name of the server-sent event that contains `event`, or "" for none."""
        del event
        return ""

    def stopped_chunk(self, answer: Accumulator) -> dict[str, Any]:
        """Return the chunk that ends the choices of a stream that the guard stopped."""
        return self._chunk(_stopped_choices(answer, self._empty))

    def usage_chunk(self, usage: Usage) -> dict[str, Any] | None:
        """Return the chunk with the token usage, or None if the client did not request the usage."""
        return self._chunk([]) | {"usage": _counts(usage)} if self._include_usage else None

    def stopped_usage_chunk(self, answer: Accumulator) -> dict[str, Any] | None:
        """Return the chunk with the token usage of a stream that the guard stopped, or None."""
        return self.usage_chunk(answer.usage)

    def whole(self, answer: Accumulator) -> dict[str, Any]:
        """Return the body of a response that is not a stream."""
        return {
            "id": self.id,
            "object": self.whole_object,
            **self._head,
            "choices": self._choices(answer),
            "usage": _counts(answer.usage),
        }

    def _chunk(self, choices: list[Any]) -> dict[str, Any]:
        extra = {"usage": None} if self._include_usage else {}
        return {"id": self.id, "object": self.chunk_object, **self._head, "choices": choices} | extra

    def _choices(self, answer: Accumulator) -> list[dict[str, Any]]:
        raise NotImplementedError


class ChatAnswer(Answer):
    """Formats the response to a chat completion."""

    prefix = "chatcmpl"
    whole_object = "chat.completion"
    chunk_object = "chat.completion.chunk"

    def _choices(self, answer: Accumulator) -> list[dict[str, Any]]:
        return answer.chat_choices()


class CompletionAnswer(Answer):
    """Formats the response to a plain completion."""

    prefix = "cmpl"
    whole_object = chunk_object = "text_completion"
    _empty: ClassVar[dict[str, Any]] = {"text": ""}

    def _choices(self, answer: Accumulator) -> list[dict[str, Any]]:
        return answer.text_choices()


class RelayedAnswer(Answer):
    """Relays the response of an engine with the feature `any_field` without change, except for the model's name.

    The backend requests the token usage of every streamed completion; a client that did not request it does not receive it.
    """

    prefix = "req"
    relayed = True

    def __init__(self, request_id: str, model: str, operation: Operation, *, include_usage: bool) -> None:
        super().__init__(request_id, model, "", 0, include_usage=include_usage)
        self._model = model
        self._is_response = operation == "responses"
        self._is_chat = operation == "chat"
        self.has_done = not self._is_response

    def accumulator(self) -> Accumulator:
        """Return an accumulator for the backend's chunks."""
        return ResponsesAccumulator() if self._is_response else Accumulator(keep_logprobs=False)

    def chunk(self, chunk: OpenAIChunk) -> dict[str, Any] | None:
        """Return a chunk with the client's name of the model, or None for the usage that the client did not request."""
        if self._is_response:
            response = chunk.get("response")
            return chunk | {"response": self._named(response)} if isinstance(response, dict) else chunk
        chunk = self._named({name: value for name, value in chunk.items() if name != RUNNING_USAGE})
        if self._include_usage or "usage" not in chunk:
            return chunk
        is_only_usage = chunk["usage"] is not None and not chunk.get("choices")
        return None if is_only_usage else {name: value for name, value in chunk.items() if name != "usage"}

    def usage_chunk(self, usage: Usage) -> None:
        """Return None: the other server sends this chunk."""

    def stopped_usage_chunk(self, answer: Accumulator) -> dict[str, Any] | None:
        """Return the chunk that the other server cannot send after the stop, with the tokens that it has reported so far.

        None if the client did not request the usage, or if the server reports it only at the end of a stream.
        """
        if not self._include_usage or self._is_response or not answer.usage.total_tokens:
            return None
        last = {name: value for name, value in answer.last.items() if name != RUNNING_USAGE}
        return self._named(last | {"choices": [], "usage": _counts(answer.usage)})

    def stopped_chunk(self, answer: Accumulator) -> dict[str, Any]:
        """Return the chunk or event that ends a stream that the guard stopped."""
        if isinstance(answer, ResponsesAccumulator):
            # Without the output: the last event of the other server may have been the first with the text that the guard found.
            event = {"type": "response.incomplete", "response": self._named(answer.incomplete()) | {"output": []}}
            return event | {"sequence_number": answer.sequence_number + 1} if answer.sequence_number >= 0 else event
        choices = _stopped_choices(answer, {"delta": {}} if self._is_chat else {"text": ""})
        last = {name: value for name, value in answer.last.items() if name not in {"usage", RUNNING_USAGE}}
        return self._named(last | {"choices": choices})

    def whole(self, answer: Accumulator) -> dict[str, Any]:
        """Return the other server's response; if the guard stopped it, without the finding and later text."""
        if answer.stopped and isinstance(answer, ResponsesAccumulator):
            return self._named(answer.incomplete())
        body = self._named(dict(answer.last))
        if not answer.stopped:
            return body
        return body | {"choices": answer.chat_choices() if self._is_chat else answer.text_choices()}

    def event_name(self, event: dict[str, Any]) -> str:
        """Return the name of the server-sent event that contains `event`, or "" for none."""
        kind = event.get("type")
        return kind if self._is_response and isinstance(kind, str) and _EVENT_NAME.fullmatch(kind) else ""

    def _named(self, fields: dict[str, Any]) -> dict[str, Any]:
        return fields | {"model": self._model} if "model" in fields else fields
