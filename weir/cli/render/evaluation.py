"""Print an evaluation: for each detector a summary table, then the tables by group and by type."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import click

from weir.cli.render.output import print_table
from weir.quality.evaluation import EvaluationReport

Row = Mapping[str, Any]
#: Column → key, in the order of the table; a column that no row has is left out.
LABELLED = {
    "set": "set", "texts": "texts", "pos": "positive", "AUROC": "auroc", "AP": "average_precision", "F1": "f1", "F2": "f2",
    "macro-F1": "macro_f1", "recall": "recall", "precision": "precision", "flagged": "flagged", "ECE": "ece",
    "length": "length_auroc",
}  # fmt: skip
GROUPED = {
    "texts": "texts", "pos": "positive", "AUROC": "auroc", "accuracy": "accuracy", "F1": "f1", "recall": "recall",
    "precision": "precision", "flagged": "flagged",
}  # fmt: skip
BOUNDED = {
    title: key for title, key in LABELLED.items() if key not in ("set", "texts", "positive", "ece", "length_auroc")
}
SPANS = {"F1": "f1", "F2": "f2", "recall": "recall", "precision": "precision"}
TYPES = {"type": "value", "spans": "spans", "found": "found", **SPANS}
COST = {
    "texts": "texts", "characters": "characters", "texts/s": "texts_a_second", "ms/text": "ms_a_text", "CPU ms/text": "cpu_ms_a_text",
    "load s": "load_seconds", "memory rise MiB": "rss_rise_mib", "peak MiB": "rss_peak_mib",
}  # fmt: skip
STREAMS = {
    "study": "data", "texts": "texts", "accuracy": "accuracy", "gap": "gap", "flagged": "flagged", "recall": "recall",
    "runs": "runs", "delay": "delay_median", "delay 90 %": "delay_p90",
    "delay mean": "delay_mean", "missed": "missed", "too early": "too_early", "cut": "cut",
    "run length": "run_length", "standard error": "standard_error",
}  # fmt: skip


def print_report(report: EvaluationReport) -> None:
    """Print the metrics (but no curves), and the seed, limit, machine and time of the evaluation."""
    for one in report.text:
        _detector(one.row)
    print_studies(report.streams)
    click.echo()
    if report.absent:
        click.echo(
            f"missing files, left out: {', '.join(report.absent)}. If a file of the shared encoder is missing, its test split is unknown: "
            "its sets, and the prompts of CLINC and HaluEval, are not measured."
        )
    for reason in report.left_out:
        click.echo(f"left out: {reason}")
    about = report.provenance
    texts = f"at most {about['limit']} texts per source" if about["limit"] else "all texts"
    click.echo(f"seed {about['seed']}, {texts}, {about['machine']}, {about['at']}")


def print_studies(rows: Sequence[Row]) -> None:
    """Print a table of each detector's rows."""
    for name in dict.fromkeys(row["detector"] for row in rows):
        click.echo(click.style(f"\n{name}", bold=True))
        _table(STREAMS, [row for row in rows if row["detector"] == name])


def _detector(row: Row) -> None:
    threshold = "" if row["threshold"] is None else f", threshold {row['threshold']:g}"
    click.echo(click.style(f"\n{row['detector']} {row['version']}{threshold}", bold=True))
    labelled = [one for one in row["sets"] if "positive" in one]
    if labelled:
        _table(LABELLED, labelled)
        click.echo("length: AUROC of the length of the text alone, a baseline")
        click.echo("\n95 % confidence intervals (docs/detectors.md)")
        _table({"set": "set"} | BOUNDED, [{"set": one["set"], **_intervals(one)} for one in labelled])
    for one in row["sets"]:
        for column, rows in one.get("by", {}).items():
            click.echo(f"\n{one['set']}, by {column}")
            _table({column: "value", **GROUPED}, rows)
        if "types" in one:
            _spans(one)
    if row["ordinary"]:
        click.echo("\nordinary prompts")
        columns = {"source": "source", "texts": "texts", "flagged": "flagged", "rate": "rate", "95 %": "interval"}
        _table(columns, [one | {"interval": _interval(one["interval"])} for one in row["ordinary"]])
    if row.get("cost"):
        click.echo("\ncost, in a process of its own")
        _table(COST, [row["cost"]])


def _spans(one: Row) -> None:
    click.echo(f"\n{one['set']}: {one['texts']} texts, {one['spans']} spans")
    rows = {"characters of any type": "characters", "typed spans": "typed", "format types": "formats"}
    _table({"what": "what", **SPANS}, [{"what": name, **one[key]} for name, key in rows.items()])
    click.echo("\n95 % confidence intervals")
    _table(
        {"what": "what", **SPANS},
        [{"what": name, **_intervals(one[key])} for name, key in rows.items() if "intervals" in one[key]],
    )
    _table(TYPES, one["types"])


def _intervals(row: Row) -> dict[str, str]:
    return {name: _interval(bounds) for name, bounds in row["intervals"].items()}


def _interval(bounds: Sequence[float]) -> str:
    return "-" if math.isnan(bounds[0]) else f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def _table(columns: Mapping[str, str], rows: Sequence[Row]) -> None:
    shown = {title: key for title, key in columns.items() if any(_is_present(row.get(key)) for row in rows)}
    print_table(list(shown), [[_cell(row.get(key)) for key in shown.values()] for row in rows], "none")


def _is_present(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _cell(value: Any) -> str:
    """Format a table cell.

    Whole numbers have no decimals. Other numbers have three decimals if they are below 10, else one.
    """
    if not _is_present(value):
        return "-"
    if isinstance(value, float) and value != int(value):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)
