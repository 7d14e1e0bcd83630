"""The exploratory report of a dataset: one HTML file without scripts, links or text of any row."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from stream.count_text import count_text
from stream.loop.dataset.clusters import quantised
from stream.loop.dataset.curate import Facts
from stream.loop.dataset.files import Manifest

_KEPT = frozenset({"train", "eval"})
_WIDTH, _HEIGHT, _BAR = 420, 300, 26
_BINS = (16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384)
_COLOURS = (
    "#3366cc",
    "#dc3912",
    "#ff9900",
    "#109618",
    "#990099",
    "#0099c6",
    "#dd4477",
    "#66aa00",
    "#b82e2e",
    "#316395",
)
_OUTSIDE = "#999999"
#: Maximum number of points of a map.
_POINTS = 3_000
_STYLE = """\
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { display: inline-block; margin: 0 1.5rem 1.5rem 0; vertical-align: top; } figcaption { font-weight: 600; }
svg { max-width: 100%; } svg text { fill: currentColor; font-size: 11px; } code { overflow-wrap: anywhere; }
"""


def report(manifest: Manifest, facts: Sequence[Facts]) -> str:
    """Return the report: lengths, languages, a map of the clusters before and after, and the counts by reason."""
    kept = [one for one in facts if one.outcome in _KEPT]
    duplicates = Counter(one.outcome for one in facts if "duplicate" in one.outcome or "similar" in one.outcome)
    # Augmentation adds one copy of each new row.
    copies = 0 if manifest.settings["augment"] == "none" else sum(one.outcome == "train" for one in facts)
    reviewed = manifest.counts.train - copies + manifest.counts.eval + sum(manifest.counts.dropped.values())
    summary = (
        f"<p>Model <code>{escape(manifest.model)}</code>, tenant <code>{escape(manifest.tenant)}</code>, digest"
        f" <code>{manifest.digest}</code>. {count_text(manifest.counts.train, 'row')} to train on (old and augmented rows included),"
        f" {manifest.counts.eval} held out. Reviewed requests and old rows: {reviewed}.</p>"
    )
    sections = [
        f"<h1>Dataset {escape(manifest.digest[:12])}</h1>",
        summary,
        "<h2>What was left out</h2>",
        _table(("Reason", "Requests"), manifest.counts.dropped.items()),
        "<h2>Bounds that were reached</h2>",
        _table(
            ("Bound", "API key or first request", "Found", "Kept"),
            ((one.name, one.of, one.found, one.kept) for one in manifest.bounds),
        ),
        "<h2>Duplicates</h2>",
        _table(("Kind", "Requests"), sorted(duplicates.items())),
        "<h2>Clusters</h2>",
        *_maps(facts),
        "<h2>Lengths</h2>",
        _bars("Prompt, characters: candidates and kept", *_lengths(facts, kept, "prompt_characters")),
        _bars("Answer, characters: candidates and kept", *_lengths(facts, kept, "answer_characters")),
        "<h2>Languages of the answers</h2>",
        _bars("Candidates and kept", *_languages(facts, kept)),
    ]
    head = f'<meta charset="utf-8"><title>Dataset {escape(manifest.digest[:12])}</title><style>{_STYLE}</style>'
    body = "\n".join(sections)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _table(head: Iterable[str], rows: Iterable[Iterable[str | int]]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    lines = [
        "".join(
            f'<td class="number">{cell:,}</td>' if isinstance(cell, int) else f"<td>{escape(cell)}</td>" for cell in row
        )
        for row in rows
    ]
    if not lines:
        return "<p>None.</p>"
    return f"<table><tr>{titles}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _lengths(facts: Sequence[Facts], kept: Sequence[Facts], name: str) -> tuple[list[str], list[int], list[int]]:
    def bins(rows: Iterable[Facts]) -> list[int]:
        counts = Counter(
            next((row for row, limit in enumerate(_BINS) if getattr(one, name) <= limit), len(_BINS)) for one in rows
        )
        return [counts[row] for row in range(len(_BINS) + 1)]

    return [*(f"≤ {limit:,}" for limit in _BINS), f"> {_BINS[-1]:,}"], bins(facts), bins(kept)


def _languages(facts: Sequence[Facts], kept: Sequence[Facts]) -> tuple[list[str], list[int], list[int]]:
    before, after = (Counter(one.language or "none" for one in rows) for rows in (facts, kept))
    names = [name for name, _ in sorted(before.items(), key=lambda item: (-item[1], item[0]))[:20]]
    return names, [before[name] for name in names], [after[name] for name in names]


def _bars(title: str, names: Sequence[str], before: Sequence[int], after: Sequence[int]) -> str:
    """Return horizontal bars: light for the candidates, dark for the kept rows."""
    most = max([*before, 1])
    width = _WIDTH - 150
    shapes = []
    for row, (name, first, second) in enumerate(zip(names, before, after, strict=True)):
        y = row * _BAR
        shapes += [
            f'<text x="70" y="{y + 15}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="76" y="{y + 3}" width="{width * first / most:.1f}" height="16" fill="#3366cc" opacity=".35"/>',
            f'<rect x="76" y="{y + 3}" width="{width * second / most:.1f}" height="16" fill="#3366cc"/>',
            f'<text x="{80 + width * first / most:.1f}" y="{y + 15}">{first:,}; {second:,}</text>',
        ]
    return _figure(title, _WIDTH, max(1, len(names)) * _BAR, shapes)


def _maps(facts: Sequence[Facts]) -> list[str]:
    sizes = Counter(len(one.embedding) for one in facts if one.embedding)
    if not sizes:
        return ["<p>No embeddings in the range.</p>"]
    usual = max(sizes, key=lambda size: (sizes[size], size))
    shown = [one for one in facts if one.embedding and len(one.embedding) == usual][:_POINTS]
    points = _plane([one.embedding or b"" for one in shown])
    places = list(zip(shown, points, strict=True))
    return [
        _map("Candidates", places),
        _map("Kept", [place for place in places if place[0].outcome in _KEPT]),
        _table(("Cluster", "Candidates", "Kept"), _sizes(shown)),
    ]


def _sizes(facts: Iterable[Facts]) -> list[tuple[str, int, int]]:
    facts = list(facts)
    before = Counter(one.cluster for one in facts)
    after = Counter(one.cluster for one in facts if one.outcome in _KEPT)
    return [("left out before" if name < 0 else str(name), before[name], after[name]) for name in sorted(before)]


def _plane(embeddings: Sequence[bytes]) -> NDArray[np.float64]:
    """Return the two principal components of the embeddings, scaled to [0, 1]: (n, 2)."""
    rows = quantised(embeddings).astype(np.float64)
    rows -= rows.mean(axis=0)
    _, _, axes = np.linalg.svd(rows, full_matrices=False)
    plane = np.zeros((len(rows), 2))
    found = rows @ axes[:2].T
    plane[:, : found.shape[1]] = found
    span = np.where(np.ptp(plane, axis=0) > 0, np.ptp(plane, axis=0), 1.0)
    scaled: NDArray[np.float64] = (plane - plane.min(axis=0)) / span
    return scaled


def _map(title: str, places: Sequence[tuple[Facts, NDArray[np.float64]]]) -> str:
    shapes = [
        f'<circle cx="{10 + x * (_WIDTH - 20):.1f}" cy="{10 + y * (_HEIGHT - 20):.1f}" r="3" opacity=".7"'
        f' fill="{_OUTSIDE if one.cluster < 0 else _COLOURS[one.cluster % len(_COLOURS)]}"/>'
        for one, (x, y) in places
    ]
    return _figure(f"{title}: {len(places):,}", _WIDTH, _HEIGHT, shapes)


def _figure(title: str, width: int, height: int, shapes: Iterable[str]) -> str:
    label = escape(title)
    return (
        f"<figure><figcaption>{label}</figcaption>"
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{"".join(shapes)}</svg></figure>'
    )


def languages_of(facts: Iterable[Facts]) -> Mapping[str, int]:
    """Return {language: number of kept rows}."""
    return Counter(one.language for one in facts if one.outcome in _KEPT)
