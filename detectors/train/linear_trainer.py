"""Training of the linear model that scores texts before the shared encoder.

The method is logistic regression with an L2 penalty, fitted by L-BFGS. The targets are means of the labels and the
encoder's probabilities (distillation, Hinton et al., arXiv 1503.02531).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from detectors.errors import DataError
from detectors.evaluate.examples import Example, labels
from detectors.evaluate.readers import ordinary_prompts
from detectors.models.linear import BITS, chunks, hashed
from detectors.models.multitask import TASKS
from detectors.normalise.disguise import views
from detectors.train.averaged_training import Log
from detectors.train.mixes import load_examples

PENALTY, ITERATIONS = 1e-5, 40
#: Weight of an ordinary prompt that is not among the encoder's examples.
ORDINARY_WEIGHT = 1.0
#: Factor of the weight of a text without a template (`detectors.train.written_texts`), chosen on the texts of three authors. With 4 or
#: 8, the linear model decides fewer texts; with 8, the guard, which uses this model alone, stops three times as many harmless answers.
WRITTEN = 6.0


def matrix(texts: Sequence[str]) -> csr_matrix:
    """Return the normalised features of the first chunk of each text, (texts, 2 ** BITS)."""
    features = hashed([chunks(views(text)[-1])[0] for text in texts])
    values = features.norms()[features.owners].astype(np.float32)
    made = csr_matrix((values, (features.owners, features.buckets)), shape=(len(texts), 1 << BITS))
    made.sum_duplicates()
    return made


def fit(
    inputs: csr_matrix, targets: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit all outputs at once; return the weights, (features, outputs), and the bias, (outputs,).

    ``inputs`` has the shape (n, features). ``targets``, in [0, 1], and ``weights`` have the shape (n, outputs); the
    weight of an unknown target is 0.
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
    """Return targets and weights, (n, tasks); a target is the mean of the known values of label and teacher."""
    label = np.array([example.labels[: len(TASKS)] for example in examples])
    given = label if teacher is None else np.where(np.isnan(teacher), label, teacher)
    mixed = np.where(np.isnan(label), given, (label + given) / 2)
    weights = np.array([e.weight * (WRITTEN if e.source.startswith("written_") else 1.0) for e in examples])
    return np.nan_to_num(mixed), weights[:, None] * ~np.isnan(mixed)


def _ordinary(data: Path, known: set[str]) -> list[Example]:
    """Return the ordinary prompts that are not in ``known``; the linear model decides mostly such texts."""
    texts = dict.fromkeys(text for source, text in ordinary_prompts(data) if source != "mtbench" and text not in known)
    return [Example(text, labels(0.0), ORDINARY_WEIGHT, "ordinary") for text in texts]


def train(data: Path, out: Path, seed: int, *, log: Log, teacher: Path | None = None) -> None:
    """Train the linear model and write it to ``out``; ``teacher`` is the file that `detectors.train.teacher` writes."""
    everything = load_examples(data, seed)
    examples = [e for e in everything if e.split == "train"]
    more = _ordinary(data, {example.text for example in everything})
    taught = None
    if teacher:
        known = np.load(teacher, allow_pickle=False)
        if len(known) != len(examples):
            raise DataError(
                f"{teacher} has {len(known)} rows, the train split {len(examples)} texts: write it with the same --data and --seed"
            )
        taught = np.vstack([known, np.full((len(more), len(TASKS)), np.nan)])
    examples += more
    log(f"{len(examples)} texts, {len(more)} of them ordinary prompts: at most {ITERATIONS} iterations")
    table, bias = fit(matrix([example.text for example in examples]), *targets_of(examples, taught))
    save_file({"weights": table.astype(np.float16), "bias": bias.astype(np.float32)}, out)
