"""Plots of an evaluation, as PNG files per detector; needs the extra ``eval``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from detectors.evaluate.evaluation import Curves, Evaluated
from detectors.evaluate.metrics import reliability
from detectors.evaluate.span_metrics import Row

#: Colours of Okabe and Ito, which colour-blind people can distinguish.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: Maximum number of curves in one panel.
CURVES = len(COLOURS)


def draw(result: Evaluated, folder: Path) -> list[Path]:
    """Draw a file with the detector's curves, and a file for each data set that has typed spans; return the files."""
    written = []
    shown = [
        msgspec.structs.replace(one, name=_plain(one.name))
        for one in result.curves
        if any(one.labels) and not all(one.labels)
    ]
    if shown:
        written.append(_save(_curves(result, shown), folder / f"{result.detector}.png"))
    marked = [row for row in result.row["sets"] if row.get("types")]
    return written + [
        _save(_types(result, row), folder / f"{result.detector}-{_slug(row['set'])}.png") for row in marked
    ]


def _plain(name: str) -> str:
    """Escape dollar signs: Matplotlib reads the text between two of them as a formula."""
    return name.replace("$", r"\$")


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def _figure(title: str, width: float, height: float, rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    # No pyplot: no window and no global state.
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [one for line in axes for one in line]


def _curves(result: Evaluated, shown: Sequence[Curves]) -> Figure:
    """Draw the ROC and precision-recall curves of several sets, and the reliability and histogram of the first set."""
    title = f"{result.detector} {result.version}"
    figure, (left, right, calibration, histogram) = _figure(title, 11, 9, 2, 2)
    chosen = [shown[0], *sorted(shown[1:], key=lambda one: -len(one.labels))[: CURVES - 1]]
    for index, one in enumerate(chosen):
        style: dict[str, Any] = {"color": COLOURS[index], "lw": 2 if not index else 1.2}
        truth, flagged = np.asarray(one.labels), np.asarray(one.flagged)
        false_rate, recall = float(flagged[~truth].mean()), float(flagged[truth].mean())
        name = f"{one.name} ({len(truth)})"
        false_rates, recalls, _ = roc_curve(one.labels, one.scores, drop_intermediate=False)
        left.plot(false_rates, recalls, label=name, drawstyle="steps-post", **style)
        left.plot(false_rate, recall, "o", color=COLOURS[index])
        # Drawn as steps, as average precision sums them: each precision extends to the next lower recall.
        precisions, recalls, _ = precision_recall_curve(one.labels, one.scores)
        right.plot(recalls, precisions, drawstyle="steps-post", **style)
        if flagged.any():
            right.plot(recall, float(truth[flagged].mean()), "o", color=COLOURS[index])
    left.plot([0, 1], [0, 1], ":", color="0.6")
    left.set(xlabel="false positive rate", ylabel="recall", title="ROC; dots: the threshold")
    left.legend(fontsize=8, loc="lower right")
    right.set(xlabel="recall", ylabel="precision", title="Precision and recall", ylim=(0, 1.03))
    _reliability(calibration, shown[0])
    _histogram(histogram, shown[0])
    return figure


def _reliability(axes: Axes, one: Curves) -> None:
    curve = reliability(one.labels, one.scores)
    axes.plot([0, 1], [0, 1], ":", color="0.6")
    axes.plot([b.mean_score for b in curve], [b.positive for b in curve], "-", color=COLOURS[1], lw=1, alpha=0.35)
    most = max(b.texts for b in curve)
    sizes = [15 + 150 * b.texts / most for b in curve]
    axes.scatter([b.mean_score for b in curve], [b.positive for b in curve], s=sizes, color=COLOURS[1], alpha=0.7)
    axes.set(xlabel="mean score", ylabel="share of positives", title=f"Reliability, {one.name}; area: texts")
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))


def _histogram(axes: Axes, one: Curves) -> None:
    truth, scores, flagged = np.asarray(one.labels), np.asarray(one.scores), np.asarray(one.flagged)
    edges = np.linspace(0, 1, 31).tolist()
    negatives, positives = scores[~truth], scores[truth]
    axes.hist(negatives, bins=edges, label=f"negative ({len(negatives)})", color="0.75")
    axes.hist(positives, bins=edges, label=f"positive ({len(positives)})", color=COLOURS[2], histtype="step", lw=2)
    if flagged.any() and not flagged.all():
        # Between the two scores around the threshold.
        axes.axvline(
            float(scores[~flagged].max() + scores[flagged].min()) / 2, color="0.2", ls="--", lw=1, label="threshold"
        )
    axes.set(xlabel="score", ylabel="texts", yscale="log", title=f"Scores, {one.name}", xlim=(0, 1))
    axes.legend(fontsize=8)


def _types(result: Evaluated, row: Row) -> Figure:
    """Draw bars of recall and precision for the spans of each type, and for characters under spans of any type."""
    kinds = [kind for kind in row["types"] if kind["spans"]][::-1]
    figure, (axes,) = _figure(
        f"{result.detector} {result.version}, {_plain(row['set'])}", 9, 1.6 + 0.42 * len(kinds), 1, 1
    )
    positions = np.arange(len(kinds) + 1)
    names = [f"{_plain(kind['value'])} ({kind['spans']:.0f})" for kind in kinds] + ["characters, any type"]
    for key, shift, colour in (("recall", 0.2, COLOURS[1]), ("precision", -0.2, COLOURS[5])):
        values = np.nan_to_num([kind[key] for kind in kinds] + [row["characters"][key]])
        axes.barh(positions + shift, values, height=0.38, color=colour, label=key)
    axes.set_yticks(positions, names)
    axes.set(xlim=(0, 1.01), xlabel="typed spans, overlap of at least one half")
    axes.grid(axis="x", alpha=0.4)
    figure.legend(loc="outside upper right", ncols=2)
    return figure
