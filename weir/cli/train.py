"""``weir train-detector``."""

import os
import sys
from pathlib import Path

import click

from weir.cli.command_line import weir_command
from weir.cli.missing_extra import needing
from weir.cli.options import FiniteRange, WholeRange
from weir.cli.render.progress import progress_on_stderr

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("train-detector")
@click.argument("name")
@click.option(
    "--data", type=_FOLDER, required=True, metavar="DIR", help="Folder of the labelled sets (docs/detectors.md)."
)
@click.option("--out", type=_FOLDER, metavar="DIR", help="Folder for weights and model card; default: trained/NAME.")
@click.option(
    "--seed",
    type=WholeRange(0),
    default=0,
    show_default=True,
    help="Seed of order, mixture and initial weights; the splits stay the same.",
)
@click.option(
    "--share",
    type=FiniteRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Length of the run as a share of the full recipe; .02 is a trial run.",
)
@click.option("--resume", is_flag=True, help="Continue the run in --out from its last checkpoint.")
@click.option(
    "--limit",
    type=WholeRange(0),
    default=300,
    show_default=True,
    help="Maximum number of texts per source for the metrics; 0: all.",
)
def train_detector(
    *, name: str, data: Path, out: Path | None, seed: int, share: float, resume: bool, limit: int
) -> None:
    """Train the weights of detector NAME, choose its threshold, measure it on held-out texts, and write a model card.

    The command writes weights (safetensors), run.json (seed, versions, digests of the data), figures.json and MODEL_CARD.md
    (settings that use the weights, known failures) to a folder. No installed file changes. NAME is pii, toxicity, injection or
    refusal; the last three share one encoder, so each of these names trains this encoder.

    \b
    Examples:
      weir train-detector toxicity --data ../data
      weir train-detector toxicity --data ../data --resume
      weir train-detector pii --data ../data --share 0.05 --limit 50
      weir train-detector injection --data ../data --seed 1 --out trained/seed-1
    """
    # Each thread trains on a part of the batch, one operation at a time; threads of OpenMP would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    folder = out or Path("trained") / name
    with needing("weir train-detector", "stream,train"):
        from weir.quality.training import CARD, TrainingOptions, train

        command = [weir_command(), *sys.argv[1:]]
        options = TrainingOptions(
            name=name, data=data, out=folder, seed=seed, share=share, resume=resume, limit=limit, command=command
        )
        try:
            with progress_on_stderr() as progress:
                result = train(options, lambda line: click.echo(f"weir: {line}", err=True), progress)
        except KeyboardInterrupt:
            click.echo("weir: interrupted; to continue, run the same command with --resume", err=True)
            raise
    click.echo(f"wrote {folder / CARD}; to use the weights, copy its lines for weir.toml and restart the stack")
    for detector, settings in result.options.items():
        click.echo(f"{detector}: {', '.join(f'{key} {value}' for key, value in settings.items())}")
