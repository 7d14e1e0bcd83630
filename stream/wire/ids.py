"""Deterministic identifiers: a hash of what a thing is, never of what was measured of it.

Two runs over the same log give the same ids, whatever the last bit of a score was (design.md, decision 8).
"""

import hashlib
import uuid

__all__ = [
    "alert_id",
    "bucket_finding_id",
    "event_finding_id",
    "explanation_id",
    "new_request_id",
    "replay_id",
    "retraining_id",
    "silence_id",
    "verdict_id",
]

_SEPARATOR = "\x1f"
_DIGEST_BYTES = 16


def _digest(prefix: str, *parts: str) -> str:
    joined = _SEPARATOR.join(parts).encode()
    return f"{prefix}_{hashlib.blake2b(joined, digest_size=_DIGEST_BYTES).hexdigest()}"


def new_request_id() -> str:
    """Return a fresh request id (a random UUID, as HAProxy's ``%[uuid]`` makes at the edge)."""
    return str(uuid.uuid4())


def verdict_id(event_id: str, detector: str, version: str) -> str:
    """Identify the verdict of one detector version on one event."""
    return _digest("vd", event_id, detector, version)


def event_finding_id(event_id: str, detector: str, version: str) -> str:
    """Identify the finding of one detector version on one event."""
    return _digest("fd", event_id, detector, version)


def explanation_id(event_id: str, detector: str, version: str, method: str) -> str:
    """Identify what one method says of the words behind the verdict of one detector version on one event."""
    return _digest("ex", event_id, detector, version, method)


def bucket_finding_id(stream: str, detector: str, bucket: int) -> str:
    """Identify the finding of a stream detector on one closed bucket; `stream` is :func:`stream.wire.keys.stream_key`."""
    return _digest("fd", stream, detector, str(bucket))


def alert_id(stream: str, detector: str, opening_finding: str) -> str:
    """Identify an alert by its stream, its detector and the finding that opened it."""
    return _digest("al", stream, detector, opening_finding)


def silence_id(stream: str, detector: str, feature: str) -> str:
    """Identify an operator's silence by the thing that it mutes, so that a later one for the same thing replaces it."""
    return _digest("si", stream, detector, feature)


def retraining_id(tenant: str, model: str, alert_ids: tuple[str, ...], state: str) -> str:
    """Identify a retraining decision by what it is about and the alerts behind it (sorted: order is no identity)."""
    return _digest("rt", tenant, model, state, *sorted(alert_ids))


def replay_id(ranges: str, versions: str, rule: str) -> str:
    """Identify a replay by the offsets that it reads, what it runs on them, and what it goes by; each as canonical text."""
    return _digest("rp", ranges, versions, rule)
