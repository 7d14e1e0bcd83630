"""Cached pooled vectors of the shared encoder: the inputs of its heads, which do not change while only the heads are trained."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from detectors.models.minilm import pad
from detectors.models.multitask import Heads, MultiTask
from detectors.models.token_windows import buckets
from detectors.train.averaged_training import Log

__all__ = ["PooledVectors"]

#: Rows that are encoded before the file is written.
BLOCK = 8192


class PooledVectors:
    """Pooled vectors by row of token ids, float16 (rows, 3 * HIDDEN), kept in the ``.npz`` file ``path``.

    The file contains the digest of the encoder's weights; a file of other weights is ignored and replaced.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self._path, self._digest = path, digest
        self._places: dict[bytes, int] = {}
        self._blocks: list[NDArray[np.float16]] = []
        if path.exists():
            with np.load(path, allow_pickle=False) as stored:
                if str(stored["digest"]) == digest:
                    self._places = {key.tobytes(): index for index, key in enumerate(stored["keys"])}
                    self._blocks = [stored["vectors"]]

    def of(self, model: MultiTask, rows: Sequence[Sequence[int]], log: Log) -> NDArray[np.float16]:
        """Return the pooled vector of each row; ``model`` encodes the rows that are not in the file."""
        keys = [hashlib.blake2b(np.array(row, np.uint16).tobytes(), digest_size=16).digest() for row in rows]
        new = {key: row for key, row in zip(keys, rows, strict=True) if key not in self._places}
        missing = sorted(new.items(), key=lambda item: len(item[1]))
        for start in range(0, len(missing), BLOCK):
            part = missing[start : start + BLOCK]
            self._places |= {key: len(self._places) + index for index, (key, _) in enumerate(part)}
            self._blocks.append(_encoded(model, [row for _, row in part]))
            self._save()
            log(f"encoded {start + len(part)} of {len(missing)} rows")
        self._blocks = [np.concatenate(self._blocks)]
        return np.asarray(self._blocks[0][[self._places[key] for key in keys]])

    def _save(self) -> None:
        partial = self._path.with_suffix(".partial.npz")
        keys = np.frombuffer(b"".join(self._places), np.uint8).reshape(-1, 16)
        np.savez(partial, digest=self._digest, keys=keys, vectors=np.concatenate(self._blocks))
        partial.replace(self._path)


def _encoded(model: MultiTask, rows: Sequence[Sequence[int]]) -> NDArray[np.float16]:
    result = np.zeros((len(rows), model.heads.inner.in_features), np.float16)
    with torch.inference_mode():
        for batch in buckets(rows):
            ids, mask = pad([rows[index] for index in batch])
            result[batch] = Heads.pooled(model.backbone(ids, mask).float(), mask).numpy()
    return result
