"""Numeric features of an event, and the choice of the events to embed."""

import hashlib

from stream.wire import OWN_TENANT, RequestRecord, ResponseRecord

__all__ = ["embedded", "prompt_of", "request_features", "response_features", "sampled"]

_SPACE = 1 << 64


def sampled(event_id: str, share: float) -> bool:
    """Return whether an event is in the uniform sample for drift detection; this depends only on the event's id."""
    digest = hashlib.blake2b(event_id.encode(), digest_size=8, person=b"weir-sample").digest()
    return int.from_bytes(digest, "big") < share * _SPACE


def embedded(event_id: str, data: RequestRecord | ResponseRecord, share: float) -> bool:
    """Return whether to embed an event's text: true for answers to fixed prompts and for sampled events of users."""
    if data.tenant == OWN_TENANT:
        return bool(prompt_of(data))
    return bool(data.text) and sampled(event_id, share)


def prompt_of(data: RequestRecord | ResponseRecord) -> str:
    """Return the name of the fixed prompt if the event is a complete answer to a fixed prompt, else ""."""
    complete = isinstance(data, ResponseRecord) and data.status == "complete" and bool(data.text)
    return data.conversation_id if complete and data.tenant == OWN_TENANT else ""


def request_features(request: RequestRecord) -> dict[str, float]:
    """Return the features of a prompt."""
    text = request.text
    characters, words = float(len(text)), float(len(text.split()))
    return {
        "characters": characters,
        "words": words,
        "prompt_chars": characters,
        "prompt_words": words,
        "messages": float(len(request.messages)),
    }


def response_features(response: ResponseRecord) -> dict[str, float]:
    """Return the measured features of an answer and its end record."""
    failed = response.status in {"error", "aborted"}
    features = {"error": float(failed), "cancelled": float(response.status == "cancelled")}
    if response.text:
        features |= {
            "characters": float(len(response.text)),
            "words": float(len(response.text.split())),
            "completion_chars": float(len(response.text)),
        }
    if response.status == "complete":
        features |= {
            "latency_seconds": response.latency_seconds,
            "prompt_tokens": float(response.usage.prompt_tokens),
            "completion_tokens": float(response.usage.completion_tokens),
        }
    if response.time_to_first_token_seconds is not None:
        features["time_to_first_token_seconds"] = response.time_to_first_token_seconds
    return features
