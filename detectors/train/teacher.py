"""What the encoder says about the training texts, for the cheap tier: ``python -m detectors.train.teacher --data ../shared/data --out T.npy``.

Why this exists: the cheap tier reads the beginning of a text (`detectors.models.linear.chunks`), and labels are about all of it. So
the encoder reads the same beginnings, and `detectors.train.linear` ``--teacher`` mixes its probabilities with the labels. Own texts and
ordinary prompts are short and their labels exact: theirs is NaN. A run that was cut goes on where it stopped.
"""

import argparse
import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from detectors.models.linear import chunks
from detectors.models.minilm import load_tokenizer
from detectors.models.multitask import TASKS, MultiTask, load_multitask, log_odds
from detectors.models.token_windows import CLS, SEP, WINDOW
from detectors.models.weight_files import ENCODER_PATH
from detectors.normalise.disguise import views
from detectors.train.datasets import ORDINARY, load_examples
from detectors.train.example import Example

__all__ = ["main", "taught", "teach"]

BLOCK = 2048


def teach(model: MultiTask, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the encoder's probabilities (texts, tasks) for the first chunk of each text, without its disguise."""
    beginnings = [chunks(views(text)[-1])[0] for text in texts]
    tokens = load_tokenizer().encode_batch(beginnings, add_special_tokens=False)
    odds = log_odds(model, [[CLS, *row.ids[:WINDOW], SEP] for row in tokens])[:, : len(TASKS)]
    return (1.0 / (1.0 + np.exp(-odds))).astype(np.float32)


def taught(example: Example) -> bool:
    """Say whether the encoder's opinion of an example is asked."""
    return not (example.source.startswith("own_") or example.source in ORDINARY)


def _all(model: MultiTask, texts: Sequence[str], out: Path, say: Callable[[str], None]) -> NDArray[np.float32]:
    partial = out.with_suffix(".partial.npy")
    done = np.load(partial, allow_pickle=False) if partial.exists() else np.zeros((0, len(TASKS)), np.float32)
    while len(done) < len(texts):
        done = np.vstack([done, teach(model, texts[len(done) : len(done) + BLOCK])])
        np.save(partial, done)
        say(f"{len(done)} of {len(texts)} texts")
    partial.unlink(missing_ok=True)
    return done


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, read the train split and write the probabilities in its order."""
    parser = argparse.ArgumentParser(prog="python -m detectors.train.teacher", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder laid out like shared/data")
    parser.add_argument("--out", type=Path, required=True, help="the .npy file to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, default=ENCODER_PATH, help="of the encoder")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    examples = [e for e in load_examples(options.data, options.seed) if e.split == "train"]
    asked = np.array([taught(example) for example in examples])
    digest = hashlib.sha256(options.weights.read_bytes()).hexdigest()
    model = load_multitask(None, options.weights, digest, options.precision)

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    told = np.full((len(examples), len(TASKS)), np.nan, np.float32)
    told[asked] = _all(model, [e.text for e, one in zip(examples, asked, strict=True) if one], options.out, say)
    np.save(options.out, told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
