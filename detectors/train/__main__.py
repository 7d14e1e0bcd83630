"""Train the shipped weights: ``make train TRAINER=encoder TRAIN="--data DIR"``.

The command prints the digest to pin in `detectors.models.weight_files`. To train weights of your own, use
``weir train-detector``, which also measures the weights and writes a model card.
"""

import argparse
import hashlib
import sys
from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path

from detectors.errors import DetectorError
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


def _log(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


#: Part → the shipped file that it writes, and its trainer, which gets the options that its parameters name.
PARTS: dict[str, tuple[Path, Callable[..., object]]] = {
    "encoder": (ENCODER.path, encoder_trainer.train),
    "pii": (PII.path, token_head_trainer.train),
    "groundedness": (GROUNDEDNESS.path, groundedness_trainer.train),
    "linear": (LINEAR.path, linear_trainer.train),
    "projection": (PROJECTION.path, projection.fit_projection),
    "second_stage": (SECOND_STAGE.path, second_stage_trainer.train),
    "secrets": (SECRETS.path, secrets_trainer.train),
    "teacher": (Path("teacher.npy"), teacher.write_probabilities),
    "exit": (ENCODER.path, exit_trainer.train),
    "calibration": (ENCODER.path, calibration.calibrate),
    "cascade": (SECOND_STAGE.path, cascade.fit_combination),
    "soup": (ENCODER.path, soup.interpolate),
}
#: The trainers that change the weights in ``--out``.
CHANGE_WEIGHTS = ("exit", "calibration", "cascade")
#: The options that only some parts have.
OWN_OPTIONS = ("steps", "rate", "warm", "without", "teacher", "runs", "shares", "weights", "cases", "precision")


def main() -> int:
    """Parse the command line and run one trainer."""
    parser = argparse.ArgumentParser(prog="python -m detectors.train", description=__doc__)
    parser.add_argument("part", choices=[*PARTS, "overlap"])
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets (docs/detectors.md)")
    parser.add_argument(
        "--out", type=Path, help="file to write; default: the shipped one. exit, calibration and cascade change it"
    )
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
    parser.add_argument("--weights", type=Path, help="teacher: the encoder; default: the shipped one")
    parser.add_argument(
        "--cases", type=Path, help="overlap: folder of JSON lines to compare with the training texts too"
    )
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="teacher; default: float32")
    options = parser.parse_args(namespace=argparse.Namespace(log=_log))
    shipped, train = PARTS.get(options.part, (Path(), None))
    options.out = options.out or shipped
    taken = [*signature(train).parameters] if train else ["data", "cases", "seed"]
    _check(parser, options, taken)
    if train is None:
        for name, texts, found in overlap.scan(options.data, options.cases, options.seed):
            _log(f"{name}: {found} of {texts}")
        return 0
    given = {name: value for name, value in vars(options).items() if value is not None}
    try:
        train(**{name: given[name] for name in taken if name in given})
    except DetectorError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{error}; docs/detectors.md lists the files of --data")
    _log(f"wrote {options.out}, SHA-256 {hashlib.sha256(options.out.read_bytes()).hexdigest()}")
    return 0


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace, taken: Sequence[str]) -> None:
    """End the command with an error, before any work, if an option cannot be used; the part has the options ``taken``."""
    if not options.data.is_dir():
        parser.error(f"--data {options.data} is not a folder: name the folder of the labelled sets (docs/detectors.md)")
    if not options.out.parent.is_dir():
        parser.error(f"--out {options.out}: {options.out.parent} is not a folder; create it, or name another file")
    for name in OWN_OPTIONS:
        if getattr(options, name) != parser.get_default(name) and name not in taken:
            own = ", ".join(f"--{one}" for one in OWN_OPTIONS if one in taken)
            parser.error(f"{options.part} has no option --{name}: leave it out; its options: {own or 'none'}")
    if options.part == "soup" and len(options.runs or ()) != len(options.shares or ()) + 1:
        parser.error("soup needs --runs, the earlier weights first, and one of --shares for each further run")
    earlier = [("--out", options.out)] if options.part in CHANGE_WEIGHTS else []
    earlier += [(f"--{name}", getattr(options, name)) for name in ("warm", "weights", "teacher")]
    for option, path in [*earlier, *(("--runs", run) for run in options.runs or ())]:
        if path is not None and not path.is_file():
            parser.error(f"{option} {path} is not a file: name the file that an earlier run wrote")
    if options.steps is not None and options.steps < 1:
        parser.error(f"--steps {options.steps}: a run has at least 1 step")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")
