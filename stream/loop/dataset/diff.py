"""The difference of two datasets, in counts and ids; it contains no text."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from stream.loop.dataset.files import read_manifest, read_rows
from stream.loop.dataset.rows import Row


class DatasetDiff(msgspec.Struct, frozen=True, kw_only=True):
    """The differences of two datasets; `changed` rows have the same id and other columns.

    `sources` is {source: (rows of the first, rows of the second)}. `dropped`, `settings` and `versions` contain what
    differs: {name: (first, second)}.
    """

    before: str
    after: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    sources: dict[str, tuple[int, int]]
    dropped: dict[str, tuple[Any, Any]]
    settings: dict[str, tuple[Any, Any]]
    versions: dict[str, tuple[Any, Any]]


def diff(before: Path, after: Path) -> DatasetDiff:
    """Compare the datasets in two folders; raises DatasetDamaged."""
    old, new = _rows(before), _rows(after)
    first, second = read_manifest(before), read_manifest(after)
    counts = [Counter(row.source for _, row in rows.values()) for rows in (old, new)]
    return DatasetDiff(
        before=first.digest,
        after=second.digest,
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(key for key in old.keys() & new.keys() if old[key] != new[key])),
        sources={name: (counts[0][name], counts[1][name]) for name in sorted({*counts[0], *counts[1]})},
        dropped=_changes(first.counts.dropped, second.counts.dropped, 0),
        settings=_changes(first.settings, second.settings, None),
        versions=_changes(first.versions, second.versions, None),
    )


def _rows(folder: Path) -> dict[str, tuple[str, Row]]:
    return {row.id: (split, row) for split in ("train", "eval") for row in read_rows(folder, split)}


def _changes(before: dict[str, Any], after: dict[str, Any], missing: object) -> dict[str, tuple[Any, Any]]:
    pairs = {name: (before.get(name, missing), after.get(name, missing)) for name in sorted({*before, *after})}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
