"""What the sources were told: the accepted, the ended and the refused, by their journals."""

import json
from pathlib import Path

import msgspec

__all__ = ["Journals", "read_journals"]


class Journals(msgspec.Struct, kw_only=True):
    """The journals of every source, alive or dead, together.

    Attributes
    ----------
    accepted, ended, refused
        Request ids, as the recorder's calls returned.
    sources
        Names of the spools.
    accept_us
        How long accepting took, in microseconds, in the order of the journals.
    """

    accepted: set[str] = set()
    ended: set[str] = set()
    refused: set[str] = set()
    sources: set[str] = set()
    accept_us: list[int] = []


def read_journals(home: Path) -> Journals:
    """Read them; a line that a kill has torn says nothing."""
    found = Journals()
    for path in sorted((home / "journal").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                _learn(found, json.loads(line))
    return found


def _learn(found: Journals, said: dict[str, object]) -> None:
    for name in ("accepted", "ended", "refused"):
        if name in said:
            getattr(found, name).add(said[name])
    if "source" in said:
        found.sources.add(str(said["source"]))
    if "us" in said:
        found.accept_us.append(int(str(said["us"])))
