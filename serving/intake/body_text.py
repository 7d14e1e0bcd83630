"""Read inference bodies in the formats of OpenAI (chat, completions, responses, streams), Anthropic and KServe (V1, V2).

A body without text (an image, a tensor of numbers) is recorded as an exchange without text, and no verdict is expected.
"""

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from serving.backend import ModelRequest, Operation
from serving.decoded_json import count_of, mappings_of, repaired_json, text_of
from serving.errors import UnreadablePayload
from serving.inference_records import may_train, recorded_messages, sampling_parameters
from serving.intake.anthropic_stream import MESSAGE_START, joined_message
from serving.intake.body_values import check_json
from serving.intake.reported_exchange import ReportedRequest, ReportedResponse
from serving.openai_api.accumulator import Accumulator
from serving.openai_api.parts import choice_from, choices_from, texts_in, tools_from
from serving.openai_api.responses_accumulator import ResponsesAccumulator
from serving.upstream.event_stream import EventParser, ServerSentEvent
from serving.upstream.failures import BROKEN, ERROR, UpstreamFailure, reported_error
from stream.wire import Choice, ErrorInfo, Message, TextPart, Usage

Body = Mapping[str, Any]
_DONE = b"[DONE]"
#: First bytes of a stream of events; JSON cannot begin with them.
_EVENT_LINES = (b"data:", b"event:", b"id:", b"retry:", b":")
_BAD_GATEWAY = 502
_BROKEN = {"status": "error", "error": ErrorInfo(kind=BROKEN, status=_BAD_GATEWAY)}
#: The operation of a request whose prompt is null or has a wrong type, by the prompt's field.
_OPERATIONS: dict[str, Operation] = {"messages": "chat", "prompt": "text_completion", "input": "responses"}
_SHOWN_FIELDS = 8
_SHOWN_CHARACTERS = 32


def document(raw: bytes) -> Any:
    """Decode `raw` as JSON; raises UnreadablePayload."""
    check_json(raw)
    try:
        return decoded(raw)
    except (ValueError, RecursionError):
        raise UnreadablePayload(f"{len(raw)} bytes are not JSON; send JSON") from None


def decoded(raw: bytes) -> Any:
    """Decode JSON, if necessary after :func:`serving.decoded_json.repaired_json`; raises ValueError or RecursionError."""
    try:
        return msgspec.json.decode(raw)
    except ValueError:
        return msgspec.json.decode(repaired_json(raw))


def request_from(body: Any) -> ReportedRequest:
    """Return the request in a body; raises UnreadablePayload if the format is not known."""
    if not isinstance(body, Mapping):
        raise UnreadablePayload(f"the body is a {_kind(body)}; a request is a JSON object")
    common: dict[str, Any] = {
        "model": text_of(body.get("model")),
        "stream": body.get("stream") is True,
        "tools": tools_from(body.get("tools") or body.get("functions")),
        "parameters": sampling_parameters(body),
        "training": may_train(body),
    }
    if operation := _operation(body):
        sent = ModelRequest(request_id="", operation=operation, body=dict(body))
        return ReportedRequest(**common, operation=operation, messages=recorded_messages(sent))
    if "instances" in body:
        return ReportedRequest(**common, operation="text_completion", messages=_prompt(texts_in(body["instances"])))
    if "inputs" in body:
        return ReportedRequest(**common, operation="text_completion", messages=_prompt(_tensors(body["inputs"])))
    raise UnreadablePayload(
        f"the body has {_names(body)}; a request has messages, prompt or input (OpenAI), instances (V1) or inputs (V2)"
    )


def _operation(body: Body) -> Operation | None:
    """Return the operation of a request in OpenAI's format, or None for another format. Clients also write fields that are null."""
    prompt, given = body.get("prompt"), body.get("input")
    if body.get("messages") is not None:
        return "chat"
    if isinstance(prompt, str | list):
        return "text_completion"
    if isinstance(given, list) and given and not isinstance(given[0], Mapping):
        return "embeddings"
    if given is not None or isinstance(prompt, Mapping):  # a stored prompt of the Responses API
        return "embeddings" if "encoding_format" in body or "dimensions" in body else "responses"
    return next((operation for field, operation in _OPERATIONS.items() if field in body), None)


def response_from_bytes(raw: bytes) -> ReportedResponse:
    """Return the response in the bytes of a body; raises UnreadablePayload if the format is not known."""
    raw = raw.removeprefix(BOM_UTF8)
    if raw.lstrip().startswith(_EVENT_LINES):
        return _streamed(raw)
    body = document(raw)
    if not isinstance(body, Mapping):
        raise UnreadablePayload(f"the body is a {_kind(body)}; a response is a JSON object or a stream of events")
    return response_from(body)


def response_from(body: Body) -> ReportedResponse:
    """Return the response in a decoded body; raises UnreadablePayload if the format is not known."""
    error = _error(
        [reported_error("", body)], failed=body.get("object") == "response" and body.get("status") == "failed"
    )
    common = error | {"model": text_of(body.get("model")), "usage": usage_of(body.get("usage"))}
    if "choices" in body or "output" in body:
        return ReportedResponse(**common, choices=choices_from(body))
    if "predictions" in body:
        return ReportedResponse(**common, choices=_answer(texts_in(body["predictions"])))
    if "outputs" in body:
        return ReportedResponse(**common, choices=_answer(_tensors(body["outputs"])))
    if "content" in body:  # Anthropic's messages
        return ReportedResponse(**common, choices=(choice_from(body),))
    if error or "data" in body:  # OpenAI's embeddings, which have no text
        return ReportedResponse(**common)
    raise UnreadablePayload(
        f"the body has {_names(body)}; a response has choices or output (OpenAI), predictions (V1) or outputs (V2)"
    )


def usage_of(raw: Any) -> Usage:
    """Return the token counts in `raw`, which uses the field names of OpenAI or Anthropic."""
    if not isinstance(raw, Mapping):
        return Usage()
    prompt = raw.get("prompt_tokens", raw.get("input_tokens"))
    completion = raw.get("completion_tokens", raw.get("output_tokens"))
    return Usage(prompt_tokens=count_of(prompt), completion_tokens=count_of(completion))


def _streamed(raw: bytes) -> ReportedResponse:
    """Return one response for a stream of OpenAI's chunks, or of events of its Responses API or of Anthropic's messages.

    Raises UnreadablePayload for other streams.
    """
    events, model = list(_events(raw)), ""
    if any(chunk.get("type") == MESSAGE_START for _, chunk in events[:_SHOWN_FIELDS]):
        return _streamed_message(events)
    is_response = bool(events) and str(events[0][1].get("type")).startswith("response.")
    answer = ResponsesAccumulator() if is_response else Accumulator(keep_logprobs=False)
    for _, chunk in events:
        answer.add(chunk)
        response = chunk.get("response")
        model = text_of((response if isinstance(response, Mapping) else chunk).get("model")) or model
    error = _error((reported_error(name, chunk) for name, chunk in events), failed=answer.failed)
    if not (error or is_response) and events and not any("choices" in chunk for _, chunk in events):
        raise UnreadablePayload(
            f"the first event of the stream has {_names(events[0][1])}; a chunk has choices (OpenAI)"
        )
    if not (error or answer.finished or raw.rstrip().endswith(_DONE)):
        error = _BROKEN
    return ReportedResponse(**error, model=model, choices=answer.recorded(), usage=answer.usage)


def _streamed_message(events: Sequence[tuple[str, Body]]) -> ReportedResponse:
    """Return the response for a stream of Anthropic's messages."""
    message, complete = joined_message(chunk for _, chunk in events)
    error = _error((reported_error(name, chunk) for name, chunk in events), failed=False)
    if not (error or complete):
        error = _BROKEN
    model, usage = text_of(message.get("model")), usage_of(message["usage"])
    return ReportedResponse(**error, model=model, choices=(choice_from(message),), usage=usage)


def _error(failures: Iterable[UpstreamFailure | None], *, failed: bool) -> dict[str, Any]:
    """Return the fields of an error in a response of status 200, or of a `failed` answer. Its message may quote the prompt."""
    reported = next(filter(None, failures), None)
    if reported is None and not failed:
        return {}
    status = reported.rejected.status if reported else _BAD_GATEWAY
    return {"status": "error", "error": ErrorInfo(kind=ERROR, status=status)}


def _events(raw: bytes) -> Iterator[tuple[str, Body]]:
    """Yield the name and the decoded data of each event; the last one is left out if the stream was cut in it."""
    parser = EventParser(len(raw))
    yield from _decoded(parser.feed(raw))
    with suppress(UnreadablePayload):
        yield from _decoded(parser.finish())


def _decoded(events: Iterable[ServerSentEvent]) -> Iterator[tuple[str, Body]]:
    for event in events:
        if event.data.strip() == _DONE:
            continue
        chunk = document(event.data)
        if not isinstance(chunk, Mapping):
            raise UnreadablePayload(f"an event of the stream is a {_kind(chunk)}; a chunk is a JSON object")
        yield event.name, chunk


def _prompt(texts: Iterable[str]) -> tuple[Message, ...]:
    text = "\n".join(texts)
    return (Message.of_text("user", text),) if text else ()


def _answer(texts: Iterable[str]) -> tuple[Choice, ...]:
    text = "\n".join(texts)
    return (Choice(parts=(TextPart(content=text),)),) if text else ()


def _tensors(raw: Any) -> Iterable[str]:
    """Yield the strings in KServe V2 tensors of type BYTES."""
    for tensor in mappings_of(raw):
        if tensor.get("datatype") == "BYTES":
            yield from texts_in(tensor.get("data"))


def _kind(value: Any) -> str:
    return {list: "list", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")


def _names(body: Body) -> str:
    """Return the first field names of a body, shortened, because a client can send many long names."""
    names = [str(name)[:_SHOWN_CHARACTERS] for name in list(body)[:_SHOWN_FIELDS]]
    return f"the fields {', '.join(names)}" if names else "no fields"
