"""Read the sources' journals: the requests that the sources' recorders accepted, ended and refused."""

import json

import msgspec


class Journals(msgspec.Struct):
    """The journals of all sources, alive or dead: ids of requests, names of spools, and (time, microseconds) of each acceptance."""

    accepted: set[str] = set()
    ended: set[str] = set()
    refused: set[str] = set()
    sources: set[str] = set()
    accepting: list[tuple[float, int]] = []


def accept_times(home, since, until):
    """Return the durations of the acceptances between two times, in microseconds."""
    return [us for at, us in read_journals(home).accepting if since <= at < until]


def read_journals(home, name="*"):
    """Read all journals, or the journal of one source process; ignore a line that a kill has cut off."""
    found = Journals()
    for path in sorted((home / "journal").glob(f"{name}.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                _add(found, json.loads(line))
    return found


def _add(found, entry):
    for name, field in (
        ("accepted", found.accepted),
        ("ended", found.ended),
        ("refused", found.refused),
        ("source", found.sources),
    ):
        if name in entry:
            field.add(entry[name])
    if "us" in entry:
        found.accepting.append((entry["at"], entry["us"]))
