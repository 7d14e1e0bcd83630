"""Record keys and Kafka's default partitioner.

The partitioner hashes a key with MurmurHash2 (seed 0x9747b28c, 32 bit, little endian), masks the sign bit and takes the
remainder by the number of partitions. Topics that are joined have the same key bytes, partition count and partitioner.
"""

import hashlib
from functools import lru_cache

#: The tenant of alerts about Weir itself.
OWN_TENANT = "_weir"

_SEPARATOR = "\x1f"
_TRAINED = "m_"
_CONVERSATION_CHARACTERS = 16
_MULTIPLIER = 0x5BD1E995
_SEED = 0x9747B28C
_MASK = 0xFFFFFFFF
_ROTATION = 24


def inference_key(tenant: str, conversation_or_request_id: str) -> str:
    """Return the key of an inference event: SHA-256 in hex of the tenant and the conversation (or request) id."""
    return hashlib.sha256(f"{tenant}{_SEPARATOR}{conversation_or_request_id}".encode()).hexdigest()


def conversation_key(tenant: str, conversation_id: str) -> str:
    """Return the hash of a conversation that signals and the ledger contain instead of its id; "" without a conversation."""
    return inference_key(tenant, conversation_id)[:_CONVERSATION_CHARACTERS] if conversation_id else ""


def trained_version(model_version: str) -> str:
    """Return `model_version` if Weir trained this version, whose events have separate streams, else ""."""
    return model_version if model_version.startswith(_TRAINED) else ""


def stream_key(tenant: str, model: str, side: str, part: str = "", model_version: str = "") -> str:
    """Return the key of signals and findings.

    A stream is (tenant, model, side), with ``drift_by_part`` also the part group, and for a version that Weir trained
    also the version. So a canary does not change the reference of the champion's drift.
    """
    version = trained_version(model_version)
    parts = (tenant, model, side, part, version) if version else (tenant, model, side, part)
    return _SEPARATOR.join(parts if version or part else parts[:3])


def side_and_part(side: str, part: str, model_version: str = "") -> str:
    """Return the name of a stream's side, with its part group and trained version: ``input``, ``input/tool_result``, ``output@m_…``."""
    name = f"{side}/{part}" if part else side
    return f"{name}@{version}" if (version := trained_version(model_version)) else name


def tenant_model_key(tenant: str, model: str) -> str:
    """Return the key of retraining events and routes, which also selects the partition of alerts and model versions."""
    return _SEPARATOR.join((tenant, model))


def version_key(tenant: str, model: str, version: str) -> str:
    """Return the key of a model version."""
    return _SEPARATOR.join((tenant, model, version))


@lru_cache(maxsize=1024)  # a request and its end follow one another
def murmur2(data: bytes) -> int:
    """Return the hash of `data` as Kafka's Java client computes it; the result is an unsigned 32-bit integer."""
    length = len(data)
    value = (_SEED ^ length) & _MASK
    whole = length - length % 4
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _MULTIPLIER & _MASK
        word = (word ^ word >> _ROTATION) * _MULTIPLIER & _MASK
        value = value * _MULTIPLIER & _MASK ^ word
    if tail := data[whole:]:
        value = (value ^ int.from_bytes(tail, "little")) * _MULTIPLIER & _MASK
    value = (value ^ value >> 13) * _MULTIPLIER & _MASK
    return value ^ value >> 15


def partition_for(key: str | bytes, partitions: int) -> int:
    """Return the partition of `key`, in ``[0, partitions)``."""
    raw = key.encode() if isinstance(key, str) else key
    return (murmur2(raw) & 0x7FFFFFFF) % partitions
