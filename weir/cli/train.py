"""``weir train-detector``."""

import os
import sys
from pathlib import Path

import click

from weir.cli.command_line import weir_command
from weir.cli.missing_extra import needing
from weir.cli.render.progress import progress_on_stderr

__all__ = ["train_detector"]

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("train-detector")
@click.argument("name")
@click.option(
    "--data", type=_FOLDER, required=True, metavar="DIR", help="Folder of the labelled sets (docs/detectors.md)."
)
@click.option("--out", type=_FOLDER, metavar="DIR", help="Where weights and model card go; default: trained/NAME.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of samples, order and initial weights."
)
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Length of the run, as a share of the recipe's: .02 tries it out.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in --out, from its last checkpoint.")
@click.option(
    "--limit", type=click.IntRange(0), default=300, show_default=True, help="Texts a source for the figures; 0: all."
)
def train_detector(  # noqa: PLR0913 - the options of the command
    *, name: str, data: Path, out: Path | None, seed: int, share: float, resume: bool, limit: int
) -> None:
    """Train the weights of detector NAME, choose its threshold, measure it on held-out texts, and write a model card.

    The folder gets weights (safetensors), run.json (seed, versions, digests of the data), figures.json and MODEL_CARD.md, which says how to
    run them and where they fail. Nothing that is installed changes. NAME is pii, toxicity, injection or refusal; the last three share
    one encoder, and each of their names trains it.

    \b
    Examples:
      weir train-detector toxicity --data ../data
      weir train-detector toxicity --data ../data --resume
      weir train-detector pii --data ../data --share 0.05 --limit 50
      weir train-detector injection --data ../data --seed 1 --out trained/seed-1
    """  # noqa: D301 - click's \b keeps the lines as they are
    # A batch is cut among threads that each run one operation at a time: OpenMP's own would only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    folder = out or Path("trained") / name
    with needing("weir train-detector", "stream,train"):
        from weir.quality.training import CARD, Training, train

        command = [weir_command(), *sys.argv[1:]]
        asked = Training(
            name=name, data=data, out=folder, seed=seed, share=share, resume=resume, limit=limit, command=command
        )
        with progress_on_stderr() as progress:
            made = train(asked, lambda line: click.echo(f"weir: {line}", err=True), progress)
    click.echo(f"wrote {folder / CARD}")
    for detector, options in made.options.items():
        click.echo(f"{detector}: {', '.join(f'{key} {value}' for key, value in options.items())}")
