"""Metrics of a labelled set, and false-positive rates on ordinary prompts, computed from the scores of the texts."""

from collections.abc import Mapping, Sequence

from detectors.base import Score
from detectors.evaluate.intervals import of_labels, share
from detectors.evaluate.labelled import Case, Input, LabelledSet, OrdinaryPrompts
from detectors.evaluate.metrics import auroc, average_precision, calibration_error, decisions, reliability
from detectors.evaluate.span_metrics import Row, characters, common, typed


def false_positive_rates(ordinary: OrdinaryPrompts, scores: Mapping[Input, Score]) -> list[Row]:
    """Return the number and share of flagged ordinary prompts, per source and for all sources together.

    ``interval`` is the 95 % interval of the share.
    """
    groups = {source: texts for source, texts in ordinary.items() if texts}
    if len(groups) > 1:
        groups["all"] = [text for texts in ordinary.values() for text in texts]
    rows = []
    for source, texts in groups.items():
        flagged = sum(scores[text, ()].flagged for text in texts)
        rows.append(
            {
                "source": source,
                "texts": len(texts),
                "flagged": flagged,
                "rate": flagged / len(texts),
                "interval": share(flagged, len(texts)),
            }
        )
    return rows


def set_metrics(one: LabelledSet, scores: Mapping[Input, Score]) -> Row:
    """Return the metrics of a set.

    All sets have the keys ``set`` and ``texts``. Sets with labels also have the keys of `metrics.decisions`,
    ``positive``, ``auroc``, ``average_precision``, ``ece``, ``reliability`` (the curve), ``length_auroc`` (AUROC of
    the length as a baseline) and ``by`` (for each column, a row per value). Sets with spans also have the keys
    ``spans``, ``characters``, ``typed``, ``formats`` and ``types``. ``intervals`` (of a set with labels, of ``characters``
    and of ``typed``) has the 95 % interval of most metrics.
    """
    found = [scores[case.input] for case in one.cases]
    row: Row = {"set": one.name, "texts": len(one.cases)}
    if all(case.label is not None for case in one.cases):
        row |= _of_labels(one.cases, found)
    if all(case.spans is not None for case in one.cases):
        row |= _of_spans(one, found)
    return row


def _of_labels(cases: Sequence[Case], found: Sequence[Score]) -> Row:
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
        "by": {column: _by_value(cases, found, column) for column in columns},
        "intervals": of_labels(labels, values, [score.flagged for score in found]),
    }


def _by_value(cases: Sequence[Case], found: Sequence[Score], column: str) -> list[Row]:
    members: dict[str, list[int]] = {}
    for index, case in enumerate(cases):
        for value in case.groups.get(column, ()):
            members.setdefault(value, []).append(index)
    rows = []
    for value, indices in sorted(members.items()):
        labels = [bool(cases[index].label) for index in indices]
        area = auroc(labels, [found[index].score for index in indices])
        metrics = decisions(labels, [found[index].flagged for index in indices])
        rows.append({"value": value, "texts": len(indices), "positive": sum(labels), "auroc": area, **metrics})
    return rows


def _of_spans(one: LabelledSet, found: Sequence[Score]) -> Row:
    predicted = [[span for span in score.spans if not one.types or common(span.type) in one.types] for score in found]
    marked = [case.spans or () for case in one.cases]
    by_type, pooled, formats = typed(predicted, marked)
    return {
        "spans": sum(map(len, marked)),
        "characters": characters(predicted, marked),
        "typed": pooled,
        "formats": formats,
        "types": [{"value": kind, **row} for kind, row in by_type.items()],
    }
