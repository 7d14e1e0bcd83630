"""Deterministic ids: hashes of identifying values, such as an event id and a detector's name, never of scores.

Two runs over the same log produce the same ids, even if a score is rounded differently.
"""

import hashlib
import uuid

_SEPARATOR = "\x1f"
_DIGEST_BYTES = 16


def _digest(prefix: str, *parts: str) -> str:
    joined = _SEPARATOR.join(parts).encode()
    return f"{prefix}_{hashlib.blake2b(joined, digest_size=_DIGEST_BYTES).hexdigest()}"


def new_request_id() -> str:
    """Return a new request id: a random UUID in the format of HAProxy's ``%[uuid]``."""
    return str(uuid.uuid4())


def verdict_id(event_id: str, detector: str, version: str) -> str:
    """Return the id of a detector version's verdict on an event."""
    return _digest("vd", event_id, detector, version)


def event_finding_id(event_id: str, detector: str, version: str) -> str:
    """Return the id of a detector version's finding about an event."""
    return _digest("fd", event_id, detector, version)


def explanation_id(event_id: str, detector: str, version: str, method: str) -> str:
    """Return the id of one method's explanation of a verdict."""
    return _digest("ex", event_id, detector, version, method)


def label_id(tenant: str, request_id: str, source: str) -> str:
    """Return the id of the judgment of one answer by one source, so that a repeated import replaces its labels."""
    return _digest("lb", tenant, request_id, source)


def label_event_id(request_id: str, label: str, at: float) -> str:
    """Return the id of the event of a judgment with label id `label` and time `at`; a later judgment is another event."""
    return f"{request_id}/label/{label}/{at:.6f}"


def bucket_finding_id(stream: str, detector: str, bucket: int) -> str:
    """Return the id of a finding in a closed bucket; `stream` is the result of :func:`stream.wire.keys.stream_key`."""
    return _digest("fd", stream, detector, str(bucket))


def alert_id(stream: str, detector: str, opening: str) -> str:
    """Return the id of an alert, a hash of its stream, its detector and `opening`.

    `opening` is the id of the finding that opened the alert; for a finding so late that an earlier alert about it can
    have resolved, also the event time at which the alert opened.
    """
    return _digest("al", stream, detector, opening)


def silence_id(stream: str, detector: str, feature: str) -> str:
    """Return the id of a silence, a hash of its subject, so that a later silence with the same subject replaces it."""
    return _digest("si", stream, detector, feature)


def retraining_id(tenant: str, model: str, alert_ids: tuple[str, ...], state: str) -> str:
    """Return the id of a retraining decision, a hash of tenant, model, state and the set of alerts."""
    return _digest("rt", tenant, model, state, *sorted(alert_ids))


def model_id(tenant: str, model: str, version: str, request: str, dataset: str) -> str:
    """Return the id of the record that a version was made from the dataset with digest `dataset` for retraining request `request`."""
    return _digest("mv", tenant, model, version, request, dataset)


def route_id(tenant: str, model: str, epoch: int) -> str:
    """Return the id of a route, a hash of tenant, model and epoch."""
    return _digest("ro", tenant, model, str(epoch))


def shadow_request_id(request_id: str, version: str) -> str:
    """Return the id of the copy of a request that the challenger `version` answers: a UUID."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{request_id}{_SEPARATOR}{version}"))


def consistency_request_id(request_id: str) -> str:
    """Return the id of the copy of a request whose answers are compared with the user's answer: a UUID."""
    return shadow_request_id(request_id, "consistency")


def in_sample(identity: str, share: float, purpose: bytes) -> bool:
    """Return whether an id is in a uniform sample of `share` of all ids; each `purpose` (at most 16 bytes) has its own sample."""
    digest = hashlib.blake2b(identity.encode(), digest_size=8, person=purpose).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def replay_id(ranges: str, versions: str, rule: str) -> str:
    """Return the id of a replay, a hash of its offsets, versions and rules, each as canonical text."""
    return _digest("rp", ranges, versions, rule)
