"""Metrics of the detection of personal data: by characters that any span covers, and by spans of the right type.

Metrics by characters show how well the spans would redact a text. Spans of the same type are matched one to one if they
overlap by at least half (intersection over union). `TYPES` maps the types of data sets to common types, because data
sets divide Presidio's LOCATION in several ways.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from detectors.base import Span
from detectors.evaluate.intervals import of_counts
from detectors.evaluate.metrics import count_metrics

Row = dict[str, Any]
#: (matches, found, labelled): numbers of characters or of spans.
Counts = tuple[int, int, int]
LEAST_OVERLAP = 0.5

_SYNONYMS = {
    "LOCATION": ("ADDRESS", "STREET_ADDRESS", "GPE", "LOC", "FAC", "CITY", "COUNTRY", "ZIP_CODE"),
    "PERSON": ("PER", "NAME"),
    "ORGANIZATION": ("ORG",),
    "DATE_TIME": ("DATE", "TIME"),
    "URL": ("DOMAIN_NAME",),
    "EMAIL_ADDRESS": ("EMAIL",),
    "PHONE_NUMBER": ("PHONE",),
    "IBAN_CODE": ("IBAN",),
    "US_SSN": ("SSN",),
    "TITLE": ("PREFIX", "JOB", "JOB_TITLE"),
}
#: A type of a data set or of a detector → the common type; other types remain unchanged.
TYPES = {name: kind for kind, names in _SYNONYMS.items() for name in names}
#: Types with a fixed format, whose metrics are also computed together.
FORMATS = frozenset({"CREDIT_CARD", "IBAN_CODE", "US_SSN", "EMAIL_ADDRESS", "IP_ADDRESS", "URL"})


def common(kind: str) -> str:
    """Return the common type of a type; see `TYPES`."""
    return TYPES.get(kind, kind)


def overlap(one: Span, other: Span) -> float:
    """Return the intersection over union of two spans, in [0, 1]."""
    shared = max(0, min(one.end, other.end) - max(one.start, other.start))
    return shared / (one.end - one.start + other.end - other.start - shared)


def span_counts(found: Iterable[Span], wanted: Iterable[Span]) -> Counts:
    """Return the numbers of matches, found spans and labelled spans of one type; largest overlaps are matched first."""
    mine, theirs = list(found), list(wanted)
    starts = sorted((span.start, j) for j, span in enumerate(theirs))
    pairs = []
    for i, a in enumerate(mine):
        # Compare few pairs, because a log can have 10,000 spans. A span that overlaps `a` by half begins at most `a`'s length before `a`.
        near = starts[bisect_left(starts, (2 * a.start - a.end,)) : bisect_left(starts, (a.end,))]
        pairs += [(share, i, j) for _, j in near if (share := overlap(a, theirs[j])) >= LEAST_OVERLAP]
    taken: set[int] = set()
    matched: set[int] = set()
    for _, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1:])):
        if i not in taken and j not in matched:
            taken.add(i)
            matched.add(j)
    return len(taken), len(mine), len(theirs)


def _measured(counts: Sequence[Counts]) -> Row:
    """Return the metrics of all texts together, and their intervals, from the counts of each text."""
    return {**count_metrics(*_summed(counts)), "intervals": of_counts(counts)}


def _covered(spans: Iterable[Span]) -> set[int]:
    return {index for span in spans for index in range(span.start, span.end)}


def characters(found: Sequence[Sequence[Span]], wanted: Sequence[Sequence[Span]]) -> Row:
    """Return F1, F2, precision and recall of the characters under spans of any type, for all texts together."""
    pairs = [(_covered(one), _covered(other)) for one, other in zip(found, wanted, strict=True)]
    return _measured([(len(ours & truth), len(ours), len(truth)) for ours, truth in pairs])


def _summed(counts: Iterable[Counts]) -> Counts:
    hits, found, wanted = np.array([(0, 0, 0), *counts]).sum(0).tolist()
    return hits, found, wanted


def _by_type(found: Sequence[Span], wanted: Sequence[Span]) -> dict[str, Counts]:
    """Return the counts of one text for each common type that it has."""
    return {
        kind: span_counts(
            [span for span in found if common(span.type) == kind],
            [span for span in wanted if common(span.type) == kind],
        )
        for kind in {common(span.type) for span in (*found, *wanted)}
    }


def typed(found: Sequence[Sequence[Span]], wanted: Sequence[Sequence[Span]]) -> tuple[dict[str, Row], Row, Row]:
    """Return the metrics of the spans of each type, of all types together, and of the types in `FORMATS` together.

    A span of a type that the data set never labels is a false positive.
    """
    of_texts = [_by_type(one, other) for one, other in zip(found, wanted, strict=True)]
    texts: dict[str, list[Counts]] = defaultdict(list)
    for of_text in of_texts:
        for kind, count in of_text.items():
            texts[kind].append(count)
    counts = {kind: _summed(each) for kind, each in texts.items()}
    by_type = {
        kind: {"spans": float(counts[kind][2]), "found": float(counts[kind][1]), **count_metrics(*counts[kind])}
        for kind in sorted(counts, key=lambda kind: (-counts[kind][2], kind))
    }
    formats = count_metrics(*_summed(counts[kind] for kind in FORMATS & counts.keys()))
    return by_type, _measured([_summed(of_text.values()) for of_text in of_texts]), formats
