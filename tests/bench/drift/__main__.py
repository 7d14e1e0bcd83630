"""Run a study and print its table, for example ``make bench PARTS=drift.delays ARGS="--data DIR --runs 40"``."""

import argparse
from functools import partial
from pathlib import Path

from bench.drift.conversation_ids import conversation_ids
from bench.drift.drift_delay import drift_delay
from bench.drift.run_length import run_length_rows
from detectors.evaluate.studies.context import StudyContext
from weir.cli.render.evaluation import print_studies
from weir.cli.render.progress import progress_on_stderr

STUDIES = {
    "run-length": run_length_rows,
    "run-length-10000": partial(run_length_rows, limit=10_000),
    "clients": conversation_ids,
    "delays": drift_delay,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench PARTS=drift.STUDY ARGS=…")
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument(
        "--data", type=Path, default=Path(), help="data folder; clients and delays read CLINC, clients T0"
    )
    parser.add_argument("--runs", type=int, default=40, help="simulated streams per row")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        with progress_on_stderr() as progress:
            rows = STUDIES[options.study](StudyContext(options.data, options.runs, options.seed, progress))
    except FileNotFoundError as error:
        parser.error(f"there is no file {error.filename}: name the data folder with --data")
    print_studies(rows)


if __name__ == "__main__":
    main()
