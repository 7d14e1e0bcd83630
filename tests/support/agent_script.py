"""Scripted answers for an agent with the tool ``weather``: it calls the tool, then answers with the tool's result."""

import json

from support.scripted_upstream import DONE, Answer, chat_chunk, sse, usage_chunk

CITY = "Oslo"
ARGUMENTS = json.dumps({"city": CITY})
RESULT = "4 degrees and rain in Oslo"
QUESTION = "What is the weather in Oslo?"
FINAL = "Take an umbrella: 4 degrees and rain."
CALL_ID = "call_abc123"
_CALL = {"id": CALL_ID, "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}
_USAGE = {"prompt_tokens": 21, "completion_tokens": 7, "total_tokens": 28}


def chat_call():
    return _chat({"role": "assistant", "content": None, "tool_calls": [_CALL]}, "tool_calls")


def chat_text(text=FINAL):
    return _chat({"role": "assistant", "content": text}, "stop")


def _chat(message, reason):
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    head = {"id": "chatcmpl-up1", "object": "chat.completion", "created": 1767225600, "model": "provider-model"}
    return Answer.json(head | {"choices": [choice], "usage": _USAGE})


def streamed_call():
    """Return the call in three chunks, as providers stream it."""
    first = {"index": 0, "id": CALL_ID, "type": "function", "function": {"name": "weather", "arguments": ""}}
    deltas = [{"role": "assistant", "content": None, "tool_calls": [first]}]
    deltas += [
        {"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in (ARGUMENTS[:5], ARGUMENTS[5:])
    ]
    return _streamed(deltas, "tool_calls")


def streamed_text(text=FINAL):
    words = [{"content": f"{word} "} for word in text.split()[:-1]] + [{"content": text.split()[-1]}]
    return _streamed([{"role": "assistant", "content": ""}, *words], "stop")


def _streamed(deltas, reason):
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": reason})
    chunks = [chat_chunk() | {"choices": [choice]} for choice in choices]
    return Answer(*sse(*chunks, usage_chunk(prompt=21, completion=7)), DONE)


def response_call():
    call = {"type": "function_call", "id": "fc_1", "call_id": CALL_ID, "name": "weather", "arguments": ARGUMENTS}
    return Answer.json(_response([call | {"status": "completed"}], "resp_0"))


def response_text(text=FINAL):
    return Answer.json(_response([_message(text)]))


def streamed_response(text=FINAL):
    """Return the events of a streamed response of one message."""
    started = _response([]) | {"status": "in_progress", "usage": None}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    events = [
        {"type": "response.created", "response": started},
        {"type": "response.output_item.added", "output_index": 0, "item": _message("") | {"content": []}},
        {"type": "response.content_part.added", **place, "part": part},
        *({"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []} for piece in text.split(" ")),
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part | {"text": text}},
        {"type": "response.output_item.done", "output_index": 0, "item": _message(text)},
        {"type": "response.completed", "response": _response([_message(text)])},
    ]
    numbered = [event | {"sequence_number": number} for number, event in enumerate(events)]
    return Answer(
        *(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in numbered),
    )


def _message(text):
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}


def _response(output, response_id="resp_1"):
    usage = {"input_tokens": 21, "output_tokens": 7, "total_tokens": 28}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": response_id,
        "object": "response",
        "created_at": 1767225600,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": "provider-model",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage | details,
    }
