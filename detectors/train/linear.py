"""Train the cheap tier: ``python -m detectors.train.linear --data ../shared/data``.

Logistic regression with an L2 penalty by L-BFGS, on labels mixed with the encoder's own probabilities where they are
given (distillation, Hinton et al., arXiv 1503.02531). Writes ``detectors/weights/linear.safetensors`` and prints its digest.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from detectors.models.linear import BITS, chunks, hashed
from detectors.models.multitask import TASKS
from detectors.models.weight_files import LINEAR_PATH
from detectors.normalise.disguise import views
from detectors.train.datasets import Example, labels, load_examples, ordinary

__all__ = ["fit", "main", "matrix", "train"]

PENALTY, ITERATIONS = 1e-5, 40
#: Weight of an ordinary prompt beyond the encoder's sample; twice that lets fewer pass to the encoder, but lowers what is doubtful too.
ORDINARY_WEIGHT = 1.0


def matrix(texts: Sequence[str]) -> csr_matrix:
    """Return the normed features of the texts (their first chunks): (n, 2 ** BITS)."""
    features = hashed([chunks(views(text)[-1])[0] for text in texts])
    values = features.norms()[features.owners].astype(np.float32)
    made = csr_matrix((values, (features.owners, features.buckets)), shape=(len(texts), 1 << BITS))
    made.sum_duplicates()
    return made


def fit(
    inputs: csr_matrix, targets: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit all outputs at once.

    Parameters
    ----------
    inputs
        (n, features).
    targets, weights
        (n, outputs); targets in [0, 1], weights 0 where the target is unknown.

    Returns
    -------
    tuple
        Weights (features, outputs) and bias (outputs,).
    """
    scale = weights / weights.sum(axis=0)
    columns = inputs.T.tocsr()
    shape = (inputs.shape[1] + 1, targets.shape[1])

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        table = point.reshape(shape)
        logits = inputs @ table[:-1] + table[-1]
        value = float((scale * (np.logaddexp(0.0, logits) - targets * logits)).sum())
        residual = scale * (1.0 / (1.0 + np.exp(-logits)) - targets)
        slope = np.vstack([columns @ residual + PENALTY * table[:-1], residual.sum(axis=0)])
        return value + 0.5 * PENALTY * float((table[:-1] ** 2).sum()), slope.ravel()

    options = {"maxiter": ITERATIONS, "maxcor": 6}
    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options=options)
    table = found.x.reshape(shape)
    return table[:-1], table[-1]


def targets_of(
    examples: Sequence[Example], teacher: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return targets and weights (n, tasks): the mean of label and teacher, or the one of them that is known."""
    told = np.array([example.labels[: len(TASKS)] for example in examples])
    given = told if teacher is None else np.where(np.isnan(teacher), told, teacher)
    mixed = np.where(np.isnan(told), given, (told + given) / 2)
    weights = np.array([example.weight for example in examples])[:, None] * ~np.isnan(mixed)
    return np.nan_to_num(mixed), weights


def _ordinary(data: Path, known: set[str]) -> list[Example]:
    """Return the ordinary prompts beyond the encoder's sample: what the tier is mostly for is to let these pass."""
    texts = dict.fromkeys(text for source, text in ordinary(data) if source != "mtbench" and text not in known)
    return [Example(text, labels(0.0), ORDINARY_WEIGHT, "ordinary") for text in texts]


def train(data: Path, out: Path, seed: int, *, teacher: Path | None = None) -> str:
    """Train on the train split and return the SHA-256 of the weights.

    Parameters
    ----------
    data
        A folder laid out like shared/data.
    out
        The safetensors file to write.
    teacher
        A ``.npy`` file of the encoder's probabilities (n, tasks) for the train split, in its order, NaN where unknown.
    """
    everything = load_examples(data, seed)
    examples = [e for e in everything if e.split == "train"]
    taught = np.load(teacher, allow_pickle=False) if teacher else None
    more = _ordinary(data, {example.text for example in everything})
    if taught is not None:
        taught = np.vstack([taught, np.full((len(more), len(TASKS)), np.nan)])
    examples += more
    table, bias = fit(matrix([example.text for example in examples]), *targets_of(examples, taught))
    save_file({"weights": table.astype(np.float16), "bias": bias.astype(np.float32)}, out)
    return hashlib.sha256(out.read_bytes()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m detectors.train.linear", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder laid out like shared/data")
    parser.add_argument("--out", type=Path, default=LINEAR_PATH)
    parser.add_argument("--teacher", type=Path, default=None)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    digest = train(options.data, options.out, options.seed, teacher=options.teacher)
    sys.stdout.write(f"wrote {options.out}, SHA-256 {digest}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
