"""Fitting of the projection of packed embeddings: 96 principal directions of HaluEval's questions and answers."""

from itertools import islice
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from detectors.evaluate.readers import HALUEVAL, halueval
from detectors.models.embedding import PACKED_DIMENSIONS
from detectors.models.minilm import encode_mean, load_minilm, load_tokenizer
from detectors.models.token_windows import CLS, SEP, WINDOW, tokenize
from detectors.train.averaged_training import Log

QUESTIONS = 3000
#: Number of texts that are embedded between two lines of progress.
BLOCK = 500


def fit_projection(data: Path, out: Path, *, log: Log) -> None:
    """Fit the projection on `QUESTIONS` questions and a third as many answers, and write it as safetensors."""
    rows = list(islice(halueval(data / HALUEVAL), QUESTIONS))
    texts = [question for question, _ in rows] + [answer for _, answer in rows[: QUESTIONS // 3]]
    ids = tokenize(load_tokenizer(), texts)
    model, parts = load_minilm(), []
    for start in range(0, len(ids), BLOCK):
        log(f"embedding texts: {start} of {len(ids)}")
        parts.append(encode_mean(model, [[CLS, *row[:WINDOW], SEP] for row in ids[start : start + BLOCK]]))
    vectors = np.concatenate(parts)
    _, _, directions = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    save_file({"basis": np.ascontiguousarray(directions[:PACKED_DIMENSIONS].T.astype(np.float16))}, out)
