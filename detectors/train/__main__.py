"""Train the shipped weights: ``make train TRAINER=encoder TRAIN="--data DIR"``.

The command prints the digest to pin in `detectors.models.weight_files`. To train weights of your own, use
``weir train-detector``, which also measures the weights and writes a model card.
"""

import argparse
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

from detectors.models.weight_files import ENCODER, GROUNDEDNESS, LINEAR, PII, PROJECTION, SECOND_STAGE, SECRETS
from detectors.train import (
    calibration,
    cascade,
    encoder_trainer,
    exit_trainer,
    groundedness_trainer,
    linear_trainer,
    overlap,
    projection,
    second_stage_trainer,
    secrets_trainer,
    soup,
    teacher,
    token_head_trainer,
)

OUT = {
    "encoder": ENCODER.path,
    "pii": PII.path,
    "groundedness": GROUNDEDNESS.path,
    "linear": LINEAR.path,
    "projection": PROJECTION.path,
    "second_stage": SECOND_STAGE.path,
    "secrets": SECRETS.path,
    "teacher": Path("teacher.npy"),
    "exit": ENCODER.path,
    "calibration": ENCODER.path,
    "cascade": SECOND_STAGE.path,
    "soup": ENCODER.path,
}


def _log(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Parse the command line and run one trainer."""
    parser = argparse.ArgumentParser(prog="python -m detectors.train", description=__doc__)
    parser.add_argument("part", choices=[*OUT, "overlap"])
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets (docs/detectors.md)")
    parser.add_argument("--out", type=Path, help="file to write; default: the shipped one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="encoder, second_stage")
    parser.add_argument("--rate", type=float, help="encoder, second_stage: the highest learning rate")
    parser.add_argument("--warm", type=Path, help="encoder, second_stage: weights of an earlier run to start from")
    parser.add_argument("--without", nargs="*", default=(), help="encoder: sources of which no text is read")
    parser.add_argument("--teacher", type=Path, help="linear: the file that the part `teacher` wrote")
    parser.add_argument(
        "--runs", type=Path, nargs="+", help="soup: earlier weights, and those of runs that started from them"
    )
    parser.add_argument("--shares", type=float, nargs="+", help="soup: share of the change that each run made")
    parser.add_argument("--weights", type=Path, default=ENCODER.path, help="teacher: the encoder")
    parser.add_argument(
        "--cases", type=Path, help="overlap: folder of JSON lines to compare with the training texts too"
    )
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="teacher")
    options = parser.parse_args()
    out: Path = options.out or OUT.get(options.part, Path())
    _check(parser, options, out)
    if options.part == "overlap":
        for name, texts, found in overlap.scan(options.data, options.cases, options.seed):
            _log(f"{name}: {found} of {texts}")
        return 0
    try:
        _train(options, out)
    except OSError as error:
        parser.error(f"{error}; docs/detectors.md lists the files of --data")
    _log(f"wrote {out}, SHA-256 {hashlib.sha256(out.read_bytes()).hexdigest()}")
    return 0


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace, out: Path) -> None:
    """End the command with an error, before any work, if an option cannot be used."""
    if not options.data.is_dir():
        parser.error(f"--data {options.data} is not a folder: name the folder of the labelled sets (docs/detectors.md)")
    if not out.parent.is_dir():
        parser.error(f"--out {out}: {out.parent} is not a folder; create it, or name another file")
    if options.steps is not None and options.steps < 1:
        parser.error(f"--steps {options.steps}: a run has at least 1 step")
    if options.part == "soup" and len(options.runs or ()) != len(options.shares or ()) + 1:
        parser.error("soup needs --runs, the earlier weights first, and one of --shares for each further run")


def _train(options: argparse.Namespace, out: Path) -> None:
    """Run the trainer of ``options.part``, which writes `out`."""
    data, seed = options.data, options.seed
    trainers: dict[str, Callable[[], object]] = {
        "encoder": lambda: encoder_trainer.train(
            data,
            out,
            seed,
            log=_log,
            steps=options.steps or encoder_trainer.STEPS,
            rate=options.rate or encoder_trainer.RATE,
            warm=options.warm,
            without=options.without,
        ),
        "second_stage": lambda: second_stage_trainer.train(
            data,
            out,
            seed,
            second_stage_trainer.Recipe(
                options.steps or second_stage_trainer.STEPS, options.rate or second_stage_trainer.RATE, options.warm
            ),
            log=_log,
        ),
        "pii": lambda: token_head_trainer.train(data, out, seed, log=_log),
        "groundedness": lambda: groundedness_trainer.train(data, out, seed, log=_log),
        "linear": lambda: linear_trainer.train(data, out, seed, teacher=options.teacher),
        "soup": lambda: soup.interpolate(options.runs, options.shares, out),
        "exit": lambda: exit_trainer.train(data, out, seed, log=_log),
        "cascade": lambda: cascade.fit_combination(data, out, seed, log=_log),
        "calibration": lambda: calibration.calibrate(data, out, seed, log=_log),
        "teacher": lambda: teacher.write_probabilities(
            data, out, seed, log=_log, weights=options.weights, precision=options.precision
        ),
        "projection": lambda: projection.fit_projection(data, out),
        "secrets": lambda: secrets_trainer.train(out, log=_log),
    }
    trainers[options.part]()


if __name__ == "__main__":
    sys.exit(main())
