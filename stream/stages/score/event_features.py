"""Numeric features of an event, and the choice of the events to embed."""

from collections.abc import Iterable

from detectors.base import OPERATOR_ROLES
from detectors.streams.paired_prompts import paired_prompt
from detectors.streams.tool_mix import tool_features
from detectors.text.sentiment import sentiment
from stream.stages.score.event_parts import newest_turn
from stream.wire import OWN_TENANT, Message, RequestRecord, ResponseRecord, TextPart, ToolCallPart, ToolResponsePart
from stream.wire.ids import in_sample

#: Part groups of a tenant with ``drift_by_part``.
PROMPT, TOOL_RESULT, ANSWER = "prompt", "tool_result", "answer"


def sampled(event_id: str, share: float) -> bool:
    """Return whether an event is in the uniform sample for drift detection; this depends only on the event's id."""
    return in_sample(event_id, share, b"weir-sample")


def signal_texts(data: RequestRecord | ResponseRecord, *, by_part: bool = False) -> dict[str, str]:
    """Return the text of each signal of an event, by part group: {"": text}, or one text per group if `by_part` is true.

    A request contains the earlier turns of its conversation. So with `by_part`, a request has only the texts of
    `newest_turn`: the users' texts, and the tool results if there are any.
    """
    if not by_part:
        return {"": data.text}
    if isinstance(data, ResponseRecord):
        return {ANSWER: data.text}
    return turn_texts(data.messages)


def turn_texts(messages: Iterable[Message]) -> dict[str, str]:
    """Return the texts of a request's signals by part group; see `signal_texts`."""
    parts = [(message.role, part) for message in messages for part in message.parts]
    own = [role == "assistant" and not isinstance(part, ToolResponsePart) for role, part in parts]
    newest = parts[newest_turn(own)]
    results = [part.text for _, part in newest if isinstance(part, ToolResponsePart) and part.text]
    turns = [
        part.text for role, part in newest if isinstance(part, TextPart) and part.text and role not in OPERATOR_ROLES
    ]
    return ({PROMPT: "\n".join(turns)} if turns or not results else {}) | (
        {TOOL_RESULT: "\n".join(results)} if results else {}
    )


def embedded(
    event_id: str, data: RequestRecord | ResponseRecord, share: float, *, by_part: bool = False
) -> dict[str, str]:
    """Return the texts of `signal_texts` to embed: the texts of answers to fixed prompts and of sampled user events."""
    wanted = bool(prompt_of(data)) if data.tenant == OWN_TENANT else sampled(event_id, share)
    texts = signal_texts(data, by_part=by_part) if wanted else {}
    return {part: text for part, text in texts.items() if text}


def prompt_of(data: RequestRecord | ResponseRecord) -> str:
    """Return the name of the fixed prompt if the event is a complete answer to a fixed prompt, else ""."""
    complete = isinstance(data, ResponseRecord) and data.status == "complete" and bool(data.text)
    return data.conversation_id if complete and data.tenant == OWN_TENANT else ""


def request_features(request: RequestRecord, text: str, part: str = "") -> dict[str, float]:
    """Return the features of `text`, a result of `signal_texts` for the part group `part`."""
    characters, words = float(len(text)), float(len(text.split()))
    features = {"characters": characters, "words": words}
    if part == TOOL_RESULT:
        return features
    return features | {"prompt_chars": characters, "prompt_words": words, "messages": float(len(request.messages))}


def response_features(response: ResponseRecord, *, name_tools: bool = False) -> dict[str, float]:
    """Return the measured features of an answer and its end record; with `name_tools`, the called tools that were declared are named.

    The sentiment is measured for answers to Weir's paired prompts only.
    """
    failed = response.status in {"error", "aborted"}
    features = {"error": float(failed), "cancelled": float(response.status == "cancelled")}
    if response.text:
        features |= {
            "characters": float(len(response.text)),
            "words": float(len(response.text.split())),
            "completion_chars": float(len(response.text)),
        }
    if response.status == "complete":
        if response.latency_seconds:  # 0: another gateway did not report it
            features["latency_seconds"] = response.latency_seconds
        features |= {
            "prompt_tokens": float(response.usage.prompt_tokens),
            "completion_tokens": float(response.usage.completion_tokens),
        }
    if (pair := paired_prompt(prompt_of(response))) is not None:
        features["sentiment"] = sentiment(response.text, (pair.reference, pair.compared))
    if response.time_to_first_token_seconds is not None:
        features["time_to_first_token_seconds"] = response.time_to_first_token_seconds
    calls = (located.part for located in response.located_parts())
    declared = {tool.name for tool in response.tools or ()} if name_tools else ()
    return features | tool_features((part.name for part in calls if isinstance(part, ToolCallPart)), declared)
