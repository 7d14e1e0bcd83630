"""Decode the JSON of another server, with more tolerance than the JSON of clients."""

from typing import Any

import msgspec

from serving.decoded_json import UndecodableJson, decode_object, repaired_json

__all__ = ["decode_embeddings", "decode_tolerantly"]


def decode_tolerantly(raw: bytes) -> dict[str, Any]:
    """Decode a JSON object, if necessary after :func:`serving.decoded_json.repaired_json`; raises UndecodableJson."""
    try:
        return decode_object(raw)
    except UndecodableJson as error:
        refused = error
    try:
        return decode_object(repaired_json(raw))
    except UndecodableJson:
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
