"""Fit the basis of the packed embedding: ``python -m detectors.train.projection --data ../shared/data``.

Principal directions (96 of 384, not centred on any stream) of HaluEval's questions and answers. Writes
``detectors/weights/projection.safetensors`` and prints its digest, to be pinned in `detectors.models.weight_files`.
"""

import argparse
import gzip
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from detectors.models.embedding import PACKED_DIMENSIONS
from detectors.models.minilm import encode_mean, load_minilm, load_tokenizer
from detectors.models.token_windows import CLS, SEP, WINDOW, tokenize
from detectors.models.weight_files import PROJECTION_PATH

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, fit and write."""
    parser = argparse.ArgumentParser(prog="python -m detectors.train.projection", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder laid out like shared/data")
    parser.add_argument("--out", type=Path, default=PROJECTION_PATH)
    parser.add_argument("--texts", type=int, default=3000)
    options = parser.parse_args(arguments)
    with gzip.open(options.data / "hallucination/halueval_general.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for _, line in zip(range(options.texts), file, strict=False)]
    texts = [row["user_query"] for row in rows] + [row["chatgpt_response"] for row in rows[: options.texts // 3]]
    ids = tokenize(load_tokenizer(), texts)
    vectors = encode_mean(load_minilm(), [[CLS, *row[:WINDOW], SEP] for row in ids])
    _, _, directions = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    basis = np.ascontiguousarray(directions[:PACKED_DIMENSIONS].T.astype(np.float16))
    save_file({"basis": basis}, options.out)
    sys.stdout.write(f"wrote {options.out}, SHA-256 {hashlib.sha256(options.out.read_bytes()).hexdigest()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
