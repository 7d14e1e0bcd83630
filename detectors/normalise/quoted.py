"""Strings between double quotes in JSON, YAML, CSV, logs and code."""

import json
import re
from collections.abc import Iterator
from itertools import islice

#: Maximum number of strings of a text, and maximum depth of JSON in strings of JSON.
STRINGS, DEPTH = 64, 2
# The string is behind a bracket, "=", a comma without a space, a key in lower case with a colon, or another string: speech in a story is not.
_STRING = re.compile(
    r'(?:[\[{=]\s{0,80}|\w\(|(?<!\s),|(?<="),\s{1,80}|(?:"|^[ \t-]{0,80}[a-z_][\w.-]{0,80})\s?:\s{0,8})"((?:[^"\\\n]|\\.){8,400})"',
    re.MULTILINE,
)


def quoted(text: str) -> list[str]:
    """Return the strings of 8 to 400 characters with a space, without escapes; and the strings in them; at most `STRINGS`."""
    return list(islice(_quoted(text, DEPTH), STRINGS)) if '"' in text else []


def _quoted(text: str, depth: int) -> Iterator[str]:
    for match in _STRING.finditer(text):
        try:
            found: str = json.loads(f'"{match[1]}"')
        except ValueError:
            found = match[1]
        if " " in found.strip():
            yield found
            if depth:
                yield from _quoted(found, depth - 1)
