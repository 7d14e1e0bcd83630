"""The encoder's probabilities for the training texts of the linear model.

The linear model is trained on the first chunk of a text (`detectors.models.linear.chunks`), but labels are about the
whole text. So the encoder scores the same chunks, and `detectors.train.linear_trainer` averages the encoder's
probabilities with the labels. Synthetic, written and ordinary texts have exact labels, so the encoder does not score them.
Of the other texts, the encoder scores a random sample; the probabilities of the rest are NaN.
"""

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from detectors.evaluate.examples import Example
from detectors.evaluate.readers import ORDINARY
from detectors.models.compute import Compute, Precision
from detectors.models.linear import chunks
from detectors.models.minilm import load_tokenizer
from detectors.models.multitask import TASKS, MultiTask, load_multitask, log_odds
from detectors.models.token_windows import CLS, SEP, WINDOW
from detectors.models.weight_files import ENCODER, WeightFile
from detectors.normalise.disguise import views
from detectors.train.averaged_training import Log
from detectors.train.mixes import load_examples

BLOCK = 2048
#: Maximum number of texts that are scored; each further text would cost about 10 ms.
SCORED = 9000
#: Sources of real origin whose labels are exact (`detectors.train.real_texts`, `detectors.train.system_texts`).
EXACT = (
    "bipia_",
    "code",
    "package_",
    "t0_",
    "gsm8k",
    "wikigold",
    "fragment",
    "repeated",
    "messages",
    "manual",
    "system_",
)


def probabilities(model: MultiTask, texts: Sequence[str]) -> NDArray[np.float32]:
    """Undo the disguise of each text; return the encoder's probabilities, (texts, tasks), for its first chunk."""
    beginnings = [chunks(views(text)[-1])[0] for text in texts]
    tokens = load_tokenizer().encode_batch(beginnings, add_special_tokens=False)
    odds = log_odds(model, [[CLS, *row.ids[:WINDOW], SEP] for row in tokens])[:, : len(TASKS)]
    return (1.0 / (1.0 + np.exp(-odds))).astype(np.float32)


def _sampled(examples: Sequence[Example], seed: int) -> NDArray[np.bool_]:
    """Return whether each example is scored."""
    left_out = ("own_", "written_", *EXACT)
    sources = [example.source for example in examples]
    wanted = [index for index, name in enumerate(sources) if not (name.startswith(left_out) or name in ORDINARY)]
    chosen = random.Random(seed).sample(wanted, min(SCORED, len(wanted)))
    found = np.zeros(len(examples), dtype=bool)
    found[chosen] = True
    return found


def write_probabilities(  # noqa: PLR0913 - the options of the command
    data: Path, out: Path, seed: int, *, log: Log, weights: Path = ENCODER.path, precision: Precision = "float32"
) -> None:
    """Write the probabilities for the train split to the ``.npy`` file ``out``; an interrupted run resumes."""
    torch.set_num_threads(1)
    examples = [e for e in load_examples(data, seed) if e.split == "train"]
    scored = _sampled(examples, seed)
    texts = [example.text for example, wanted in zip(examples, scored, strict=True) if wanted]
    encoder = WeightFile.own(weights)
    model = load_multitask(None, encoder, Compute(precision=precision))
    # The name has a digest of the inputs, so that a run resumes only from its own file.
    task = hashlib.sha256(repr((encoder.digest, precision, texts)).encode()).hexdigest()
    partial = out.with_suffix(f".{task[:12]}.partial.npy")
    done = np.load(partial, allow_pickle=False) if partial.exists() else np.zeros((0, len(TASKS)), np.float32)
    while len(done) < len(texts):
        done = np.vstack([done, probabilities(model, texts[len(done) : len(done) + BLOCK])])
        np.save(partial, done)
        log(f"{len(done)} of {len(texts)} texts")
    table = np.full((len(examples), len(TASKS)), np.nan, np.float32)
    table[scored] = done
    np.save(out, table)
    partial.unlink(missing_ok=True)
