"""Decode JSON objects from clients and other servers; a decoded object can be encoded again, and is not nested too deeply to be walked."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

#: Levels of nested arrays and objects. Code with a deeper stack than the decoder's must be able to encode the object again.
MAX_DEPTH = 128
#: Most replacements of each kind, because each needs 90 bytes of memory; after them, the rest is left as it is.
_MOST_REPAIRS = 100_000
#: Text up to a constant that is not JSON, or up to the end. Each character is read once, also if a string has no end.
_CONSTANT = re.compile(
    rb'((?:[^"NI-]++|"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|-(?!Infinity)|N(?!aN)|I(?!nfinity))*+)(-?Infinity|NaN|\Z)',
    re.DOTALL,
)
#: Text up to the escape of a lone surrogate, or up to the end.
_SURROGATE = re.compile(
    rb"((?:[^\\]++|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\(?!u[dD][89a-fA-F][0-9a-fA-F]{2}).?)*+)"
    rb"(\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\Z)",
    re.DOTALL,
)


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
    except UnicodeDecodeError:
        raise UndecodableJson("it is not UTF-8") from None
    except ValueError as error:
        raise UndecodableJson(half_pair(raw) or _malformed(error)) from None
    if not isinstance(decoded, dict):
        raise UndecodableJson("it is not an object")
    # An object with few brackets is not deep; counting them is much faster than walking the object.
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and is_nested_deeper(decoded, MAX_DEPTH):
        raise _too_deep()
    return decoded


def repaired_json(raw: bytes) -> bytes:
    """Return the JSON that other programs write, as valid JSON: NaN and infinity become null, invalid Unicode is replaced.

    Servers send NaN in log-probabilities, and lone surrogates or invalid UTF-8 for a part of a character.
    """
    text = raw.decode("utf-8", "replace").encode()
    text = _CONSTANT.sub(lambda found: found[1] + (b"null" if found[2] else b""), text, _MOST_REPAIRS)
    return _SURROGATE.sub(lambda found: found[1] + (b"?" if found[2] else b""), text, _MOST_REPAIRS)


def text_of(value: Any) -> str:
    """Return `value` if it is a string, else ""."""
    return value if isinstance(value, str) else ""


def first_text(fields: Mapping[str, Any], *names: str) -> str:
    """Return the first non-empty string among the values of `names`, else ""."""
    return next((text for name in names if (text := text_of(fields.get(name)))), "")


def count_of(value: Any) -> int:
    """Return `value` if it is an integer of at least 0, else 0."""
    return value if type(value) is int and value >= 0 else 0


def mapping_of(value: Any) -> Mapping[str, Any]:
    """Return `value` if it is an object, else an empty object."""
    return value if isinstance(value, Mapping) else {}


def mappings_of(value: Any) -> Iterable[Mapping[str, Any]]:
    """Return the objects in `value` if it is an array, else no objects."""
    return (item for item in value if isinstance(item, Mapping)) if isinstance(value, list | tuple) else ()


def half_pair(raw: bytes) -> str:
    """Return a message about the first lone surrogate in `raw` that is written as an escape; "" if there is none."""
    found = _SURROGATE.match(raw)
    if found is None or not found[2]:
        return ""
    return f"byte {found.start(2)} begins half a character (a lone surrogate), as of an emoji that was cut in two; send whole characters"


def _malformed(error: ValueError) -> str:
    """Return the decoder's reason and position, which contain no text of the bytes."""
    _, _, reason = str(error).partition("JSON is malformed: ")
    return f"it is malformed: {reason}" if reason else "it is malformed or not complete"


def _too_deep() -> UndecodableJson:
    return UndecodableJson(f"arrays and objects are nested deeper than {MAX_DEPTH} levels, the limit")


def is_nested_deeper(value: dict[str, Any], levels: int) -> bool:
    """Return whether arrays and objects are nested deeper than `levels` in `value`, which is the first level."""
    level: list[dict[str, Any] | list[Any]] = [value]
    for _ in range(levels):
        children = (child for node in level for child in (node.values() if isinstance(node, dict) else node))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def decode_tolerantly(raw: bytes) -> dict[str, Any]:
    """Decode a JSON object of another server, if necessary after :func:`repaired_json`; raises UndecodableJson."""
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
