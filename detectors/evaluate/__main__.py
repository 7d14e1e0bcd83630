"""Print the table: ``python -m detectors.evaluate --data DIR [--detector NAME]… [--limit N] [--json FILE]``."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from detectors.evaluate.streams import anomaly, drift
from detectors.evaluate.texts import Row, classifiers, pii
from detectors.registry import STREAM, TEXT

COLUMNS = (
    "texts", "positive", "auroc", "f1", "f2", "macro_f1", "precision", "recall", "flagged", "texts_a_second",
    "runs", "delay_median", "delay_p90", "missed", "too_early", "run_length",
)  # fmt: skip


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float) and value != int(value):
        return f"{value:.3f}" if value < 10 else f"{value:.0f}"
    return f"{value:.0f}" if isinstance(value, int | float) else str(value)


def _table(rows: Sequence[Row]) -> str:
    """Return one table a detector, with the columns that it has."""
    blocks = []
    for name in dict.fromkeys(row["detector"] for row in rows):
        mine = [row for row in rows if row["detector"] == name]
        columns = ["data", *(column for column in COLUMNS if any(column in row for row in mine))]
        cells = [columns] + [[_cell(row.get(column)) for column in columns] for row in mine]
        widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
        lines = [
            "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
            for row in cells
        ]
        blocks.append("\n".join([f"== {name} ==", *lines]))
    return "\n\n".join(blocks)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m detectors.evaluate", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder laid out like shared/data")
    parser.add_argument("--detector", action="append", choices=[*TEXT, *STREAM], help="only this one; may be repeated")
    parser.add_argument("--limit", type=int, default=300, help="texts a source, at most")
    parser.add_argument("--runs", type=int, default=40, help="simulated streams a row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the rows there too")
    options = parser.parse_args(arguments)
    names = options.detector or [*TEXT, *STREAM]
    rows: list[Row] = []
    if "pii" in names:
        rows += pii(options.data, options.limit, options.seed)
    if {"toxicity", "injection", "refusal"} & set(names):
        rows += classifiers(options.data, options.limit, options.seed, names)
    if "drift" in names:
        rows += drift(options.data, options.runs, options.seed)
    if "anomaly" in names:
        rows += anomaly(options.runs, options.seed)
    sys.stdout.write(_table(rows) + "\n")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
