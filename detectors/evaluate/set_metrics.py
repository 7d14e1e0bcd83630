"""The figures of one labelled set, from the scores of its texts."""

from collections.abc import Mapping, Sequence
from typing import Any

from detectors.base import Score
from detectors.evaluate.labelled import Asked, Case, LabelledSet, Ordinary
from detectors.evaluate.metrics import auroc, average_precision, calibration_error, decisions, reliability
from detectors.evaluate.span_metrics import characters, typed

__all__ = ["Row", "false_alarms", "figures"]

Row = dict[str, Any]


def false_alarms(ordinary: Sequence[Ordinary], scores: Mapping[Asked, Score]) -> list[Row]:
    """Return how many ordinary prompts are flagged, by source and of all of them: what each detector costs a bystander."""
    rows = [_rate(one.source, [scores[text, ()] for text in one.texts]) for one in ordinary if one.texts]
    if len(rows) > 1:
        rows.append(_rate("all", [scores[text, ()] for one in ordinary for text in one.texts]))
    return rows


def _rate(source: str, scores: Sequence[Score]) -> Row:
    flagged = sum(score.flagged for score in scores)
    return {"source": source, "texts": len(scores), "flagged": flagged, "rate": flagged / len(scores)}


def figures(one: LabelledSet, scores: Mapping[Asked, Score]) -> Row:
    """Return the figures of a set: of decisions where its cases have labels, of spans where they have spans.

    Keys: ``set``, ``texts``; with labels what `metrics.decisions` returns, ``positive``, ``auroc``, ``average_precision``, ``ece``,
    ``reliability`` (the curve), ``length_auroc`` (what the length of the text alone would reach: a baseline), ``by`` (column → rows);
    with spans ``spans``, ``characters``, ``typed``, ``formats`` and ``types`` (rows).
    """
    found = [scores[case.asked] for case in one.cases]
    row: Row = {"set": one.name, "texts": len(one.cases)}
    if all(case.label is not None for case in one.cases):
        row |= _labelled(one.cases, found)
    if all(case.spans is not None for case in one.cases):
        row |= _marked(one.cases, found)
    return row


def _labelled(cases: Sequence[Case], found: Sequence[Score]) -> Row:
    labels = [bool(case.label) for case in cases]
    values = [score.score for score in found]
    curve = reliability(labels, values)
    columns = dict.fromkeys(column for case in cases for column in case.groups)
    return {
        "positive": sum(labels),
        "auroc": auroc(labels, values),
        "average_precision": average_precision(labels, values),
        **decisions(labels, [score.flagged for score in found]),
        "ece": calibration_error(curve),
        "length_auroc": auroc(labels, [float(len(case.text)) for case in cases]),
        "reliability": [one._asdict() for one in curve],
        "by": {column: _table(cases, found, column) for column in columns},
    }


def _table(cases: Sequence[Case], found: Sequence[Score], column: str) -> list[Row]:
    """Return a row for each value of a column, in alphabetical order."""
    members: dict[str, list[int]] = {}
    for index, case in enumerate(cases):
        for value in case.groups.get(column, ()):
            members.setdefault(value, []).append(index)
    rows = []
    for value, indices in sorted(members.items()):
        labels = [bool(cases[index].label) for index in indices]
        said = decisions(labels, [found[index].flagged for index in indices])
        ranked = auroc(labels, [found[index].score for index in indices])
        rows.append({"value": value, "texts": len(indices), "positive": sum(labels), "auroc": ranked, **said})
    return rows


def _marked(cases: Sequence[Case], found: Sequence[Score]) -> Row:
    mine = [score.spans for score in found]
    theirs = [case.spans or () for case in cases]
    by_type, everything, formats = typed(mine, theirs)
    return {
        "spans": sum(map(len, theirs)),
        "characters": characters(mine, theirs),
        "typed": everything,
        "formats": formats,
        "types": [{"value": kind, **row} for kind, row in by_type.items()],
    }
