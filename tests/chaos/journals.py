"""What the sources were told: the accepted, the ended and the refused, by their journals."""

import json
from pathlib import Path

import msgspec

__all__ = ["Journals", "accept_times", "read_journals"]


class Journals(msgspec.Struct, kw_only=True):
    """The journals of every source, alive or dead, together.

    Attributes
    ----------
    accepted, ended, refused
        Request ids, as the recorder's calls returned.
    sources
        Names of the spools.
    accepting
        When a request was accepted (seconds since the epoch), and how long that took, in microseconds.
    """

    accepted: set[str] = set()
    ended: set[str] = set()
    refused: set[str] = set()
    sources: set[str] = set()
    accepting: list[tuple[float, int]] = []


def accept_times(home: Path, since: float, until: float) -> list[int]:
    """Return how long accepting took between two moments, in microseconds."""
    return [us for at, us in read_journals(home).accepting if since <= at < until]


def read_journals(home: Path, name: str = "*") -> Journals:
    """Read them, or that of one source process; a line that a kill has torn says nothing."""
    found = Journals()
    for path in sorted((home / "journal").glob(f"{name}.jsonl")):
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
        found.accepting.append((float(str(said["at"])), int(str(said["us"]))))
