"""Events of every type and version of the contract, from the golden bytes; a name is ``v1/request``."""

import base64
import json
from pathlib import Path

from stream import wire

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FOLDER = Path(__file__).parents[1] / "contract" / "wire" / "golden"
NAMES = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.glob("*/*.json"))
#: Types of version 1 that Weir reads but no longer writes.
FORMER = ("v1/request", "v1/response")


def golden(name: str) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Return key, value and headers."""
    raw = json.loads((FOLDER / f"{name}.json").read_text())
    headers = [(name, value.encode()) for name, value in raw["headers"]]
    return raw["key"].encode(), base64.b64decode(raw["value"]), headers


def event(name: str) -> wire.Event:
    _, value, headers = golden(name)
    return wire.decode(value, headers)
