"""The frozen embedding that drift detection uses: all-MiniLM-L6-v2 (arXiv 2002.10957).

If drift detection used the embeddings of the toxicity encoder, retraining this encoder would look like drift.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_safetensors

from detectors.errors import NotLoadedError
from detectors.models.compute import Compute, Device, Precision
from detectors.models.weight_files import MINILM_DIGEST, PROJECTION

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import nn

PACKED_DIMENSIONS = 96
Vectors = NDArray[np.float32]


class TokenVectors(msgspec.Struct, frozen=True, kw_only=True):
    """The first 126 tokens of a text: their ids, (n,), their start offsets in `text`, and their unit vectors, (n, 384).

    `text` is the text as the tokenizer read it: long words are cut, and lone surrogates are replaced. `mean` is the embedding of the text, (384,).
    """

    text: str
    ids: NDArray[np.int64]
    starts: tuple[int, ...]
    vectors: Vectors
    mean: Vectors


class Embedder:
    """An embedding model: the mean vector of a text's first 126 tokens and the two special tokens, scaled to length one.

    Parameters
    ----------
    model_dir
        A folder with the pinned all-MiniLM-L6-v2; None selects the installed wheel's folder.
    threads
        Threads of this process, set at ``load()``; None leaves the number unchanged.
    precision, device
        Numeric type and device; a numeric type other than float32 is a part of the version.
    """

    version: str = f"all-MiniLM-L6-v2+{MINILM_DIGEST[:8]}.{PROJECTION.digest[:8]}"

    def __init__(
        self,
        model_dir: str | None = None,
        threads: int | None = None,
        *,
        precision: Precision = "float32",
        device: Device = "cpu",
    ) -> None:
        self._model_dir = model_dir
        self._compute = Compute(precision=precision, device=device, threads=threads or 0)
        self.version = f"{type(self).version}{self._compute.suffix}"
        self._model: nn.Module | None = None
        self._tokenizer: Tokenizer | None = None

    def load(self) -> None:
        """Load the pinned weights; a second call does nothing.

        Raises WeightsError if the weights are missing or their digest is not the pinned digest, and UnsupportedError if this machine does
        not support the numeric type or the device.
        """
        if self._model is not None:
            return
        from detectors.models.backbone import compiled  # noqa: PLC0415 - as below
        from detectors.models.minilm import load_minilm, load_tokenizer, set_threads  # noqa: PLC0415 - torch takes seconds to import

        set_threads(self._compute.threads)
        _projection()
        self._tokenizer = load_tokenizer(self._model_dir)
        self._model = compiled(load_minilm(self._model_dir), self._compute)

    def embed_many(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector per text, float32 (texts, 384); an empty text has the vector of the special tokens.

        Raises NotLoadedError if ``load()`` was not called.
        """
        if self._model is None or self._tokenizer is None:
            raise NotLoadedError("Embedder.embed_many before load(): call load() once in the process that embeds")
        from detectors.models.minilm import encode_mean  # noqa: PLC0415 - torch takes seconds to import
        from detectors.models.token_windows import CLS, SEP, WINDOW, tokenize  # noqa: PLC0415 - as above

        # The first 126 tokens, of at most 100 characters each, end before this limit: the rest need not be tokenized.
        ids = tokenize(self._tokenizer, [text[: WINDOW * 100] for text in texts])
        return encode_mean(self._model, [[CLS, *row[:WINDOW], SEP] for row in ids])

    def token_vectors(self, texts: Sequence[str]) -> list[TokenVectors]:
        """Return the token vectors and the embedding of each text; raises NotLoadedError."""
        if self._model is None or self._tokenizer is None:
            raise NotLoadedError("Embedder.token_vectors before load(): call load() once in the process that embeds")
        from detectors.models.minilm import encode_tokens  # noqa: PLC0415 - torch takes seconds to import
        from detectors.models.token_windows import CLS, SEP, WINDOW, split_long_words  # noqa: PLC0415 - as above

        read = [split_long_words(text[: WINDOW * 100]) for text in texts]
        encodings = self._tokenizer.encode_batch(read, add_special_tokens=False)
        rows = encode_tokens(self._model, [[CLS, *one.ids[:WINDOW], SEP] for one in encodings])
        return [
            TokenVectors(
                text=text,
                ids=np.array(one.ids[:WINDOW], dtype=np.int64),
                starts=tuple(start for start, _ in one.offsets[:WINDOW]),
                vectors=_unit(hidden[1:-1]),
                mean=_unit(hidden.mean(0)),
            )
            for text, one, hidden in zip(read, encodings, rows, strict=True)
        ]


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


@cache
def _projection() -> Vectors:
    """Return the projection matrix of packed embeddings, (384, 96): principal directions of public texts."""
    basis: Vectors = load_safetensors(PROJECTION.read())["basis"].astype(np.float32)
    return basis


def pack(vector: Vectors) -> bytes:
    """Project a vector from 384 to 96 dimensions, scale it to length one, and return it as 192 bytes of float16."""
    projected = vector.astype(np.float32) @ _projection()
    length = float(np.linalg.norm(projected))
    return (projected / length if length > 0 else projected).astype("<f2").tobytes()


def unpack(data: bytes) -> Vectors:
    """Return the float32 vector of a packed embedding; raise ValueError if the number of bytes is odd or zero."""
    if not data or len(data) % 2:
        raise ValueError(f"an embedding of {len(data)} bytes is not a row of float16: expected {2 * PACKED_DIMENSIONS}")
    return np.frombuffer(data, dtype="<f2").astype(np.float32)


def unpack_many(rows: Sequence[bytes]) -> Vectors:
    """Return the float32 vectors, (n, d), of n packed embeddings with equal length."""
    return np.frombuffer(b"".join(rows), dtype="<f2").astype(np.float32).reshape(len(rows), -1)
