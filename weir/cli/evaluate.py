"""``weir eval``."""

from pathlib import Path

import click
import msgspec

from weir.cli.missing_extra import needing
from weir.cli.options import WholeRange
from weir.cli.render.progress import progress_on_stderr
from weir.errors import SettingsError

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_COLUMNS = "text=text,label=label"


@click.command("eval")
@click.option("--data", type=_FOLDER, metavar="DIR", help="Folder of the labelled sets (docs/detectors.md).")
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="One labelled file: .csv, .tsv, .json, .jsonl, or with .gz; or the folder of a Hugging Face data set.",
)
@click.option(
    "--split", default="", metavar="NAME", help="For a folder in --file: its split; default: test, else the first."
)
@click.option(
    "--columns",
    default=_COLUMNS,
    show_default=True,
    metavar="ROLE=COLUMN,…",
    help="For --file: text, prompt, label or spans, functionality, type.",
)
@click.option(
    "--positive",
    multiple=True,
    metavar="LABEL",
    help="For --file: a label that should be flagged; default: 1, true, yes; repeatable.",
)
@click.option("--detector", "names", multiple=True, metavar="NAME", help="Only this detector; repeatable.")
@click.option(
    "--study",
    "studies",
    multiple=True,
    metavar="NAME",
    help="Only this study, such as languages, bias or anomaly; repeatable. An unknown name prints all of them.",
)
@click.option(
    "--limit",
    type=WholeRange(0),
    default=300,
    show_default=True,
    help="Maximum number of texts per source; 0: all.",
)
@click.option(
    "--runs",
    type=WholeRange(1),
    default=40,
    show_default=True,
    help="Number of simulated streams per row of a study.",
)
@click.option("--seed", type=WholeRange(0), default=0, show_default=True, help="Seed of the samples and the streams.")
@click.option("--no-cost", is_flag=True, help="Do not measure time and memory (one process per detector).")
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write all metrics to this file.")
@click.option("--plots", type=_FOLDER, metavar="DIR", help="Write one PNG per detector to this folder.")
def evaluate(
    *,
    data: Path | None,
    file: Path | None,
    split: str,
    columns: str,
    positive: tuple[str, ...],
    names: tuple[str, ...],
    studies: tuple[str, ...],
    limit: int,
    runs: int,
    seed: int,
    no_cost: bool,
    json_file: Path | None,
    plots: Path | None,
) -> None:
    """Measure detectors on labelled data in this process, without Kafka or a server.

    --data FOLDER measures each detector on every labelled set in the folder, and counts the detector's false positives
    among ordinary prompts. --file FILE measures detectors on one labelled file of yours. Detectors use the options and
    the threshold of the settings.

    \b
    Examples:
      weir eval --data ../data --json figures.json --plots plots
      weir eval --data ../data --detector pii --limit 0
      weir eval --data ../data --study drift --runs 100
      weir eval --file hatecheck.csv --detector toxicity --positive hateful \\
        --columns text=test_case,label=label_gold,functionality=functionality
      weir eval --file marked.jsonl --columns text=text,spans=spans
      weir eval --file ../hf/my-set --split validation --detector injection
    """
    given = {
        "--split": split,
        "--positive": next(iter(positive), ""),
        "--columns": columns if columns != _COLUMNS else "",
    }
    for option, value in given.items():
        if file is None and value:
            raise SettingsError(
                f"{option} {value} is for --file; --data measures the test split by its own labels: leave {option} out"
            )
    if file is not None and not file.exists():
        raise SettingsError(f"--file {file} does not exist; correct the path")
    if json_file is not None and not json_file.parent.is_dir():
        raise SettingsError(f"--json {json_file}: {json_file.parent} is not a folder; create it, or name another file")
    from weir.home.compute import decided
    from weir.settings import load_settings

    with needing("weir eval", "stream,eval"):
        from detectors.evaluate.plots import draw
        from weir.cli.render.evaluation import print_report
        from weir.quality.evaluation import EvaluationOptions, run_evaluation

        options = EvaluationOptions(
            names=names,
            studies=studies,
            data=data,
            file=file,
            file_split=split,
            columns=columns,
            positive=positive,
            limit=limit,
            seed=seed,
            runs=runs,
            cost=not no_cost,
            options=decided(load_settings().settings).detectors.options,
        )
        with progress_on_stderr() as progress:
            report = run_evaluation(options, progress)
    print_report(report)
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report.as_json()), indent=1) + b"\n")
        click.echo(f"wrote {json_file}")
    drawn = [path for one in report.text for path in draw(one, plots)] if plots else []
    for path in drawn:
        click.echo(f"drew {path}")
