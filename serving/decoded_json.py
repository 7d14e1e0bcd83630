"""Decode JSON objects from clients and other servers; a decoded object can be encoded again, and is not nested too deeply to be walked."""

from typing import Any

import msgspec

__all__ = ["MAX_DEPTH", "UndecodableJson", "decode_object"]

#: Levels of nested arrays and objects. Code with a deeper stack than the decoder's must be able to encode the object again.
MAX_DEPTH = 128


class UndecodableJson(ValueError):
    """The bytes are no JSON object; the message contains no text of them."""


def decode_object(raw: bytes) -> dict[str, Any]:
    """Decode a JSON object; raises UndecodableJson. NaN, numbers outside a float's range and invalid Unicode are no JSON."""
    try:
        decoded = msgspec.json.decode(raw)
    except RecursionError:
        raise _too_deep() from None
    except msgspec.ValidationError:
        raise UndecodableJson("a number is out of range") from None
    except ValueError:  # invalid JSON, or invalid UTF-8
        raise UndecodableJson("it is malformed") from None
    if not isinstance(decoded, dict):
        raise UndecodableJson("it is not an object")
    # An object with few brackets is not deep; counting them is much faster than walking the object.
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _is_deep(decoded):
        raise _too_deep()
    return decoded


def _too_deep() -> UndecodableJson:
    return UndecodableJson(f"arrays and objects are nested deeper than {MAX_DEPTH} levels, the limit")


def _is_deep(value: dict[str, Any]) -> bool:
    level: list[dict[str, Any] | list[Any]] = [value]
    for _ in range(MAX_DEPTH):
        children = (child for node in level for child in (node.values() if isinstance(node, dict) else node))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True
