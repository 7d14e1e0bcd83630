"""Decode the JSON of another server, with more tolerance than the JSON of clients."""

import json
from typing import Any

import msgspec

from serving.decoded_json import UndecodableJson, decode_object

__all__ = ["decode_embeddings", "decode_tolerantly"]


def decode_tolerantly(raw: bytes) -> dict[str, Any]:
    """Decode a JSON object; raises UndecodableJson.

    NaN and infinity become null, because servers send them in log-probabilities. Invalid UTF-8 and lone surrogates are
    replaced, because servers send them for tokens that are a part of a character.
    """
    try:
        return decode_object(raw)
    except UndecodableJson as error:
        refused = error
    try:
        decoded = json.loads(raw.decode("utf-8", "replace"), parse_constant=lambda _: None)
        return decode_object(json.dumps(decoded, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise refused from None


def decode_embeddings(raw: bytes) -> dict[str, Any]:
    """Decode a response with embeddings, but leave their numbers encoded; raises UndecodableJson."""
    try:
        fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        return decode_tolerantly(raw)
    if (data := fields.pop("data", None)) is None:
        return decode_tolerantly(raw)
    # The numbers are megabytes that nothing here reads.
    return decode_tolerantly(msgspec.json.encode(fields)) | {"data": data}
