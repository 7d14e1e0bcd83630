"""all-MiniLM-L6-v2 in plain torch: six BERT layers, which the embedding and the classifiers use.

Importing transformers needs seconds and hundreds of megabytes in every scoring process. A unit test compares both outputs.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_safetensors
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from detectors.models.token_windows import buckets, padded
from detectors.models.weight_files import MINILM_DIGEST, MINILM_TOKENIZER, WeightFile, minilm_dir

HIDDEN, HEADS, LAYERS, INNER, VOCABULARY, POSITIONS = 384, 12, 6, 1536, 30522, 512
EPSILON = 1e-12


class Layer(nn.Module):
    """One post-norm BERT layer, with the query, key and value projections in one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.out = nn.Linear(HIDDEN, HIDDEN)
        self.norm_attention = nn.LayerNorm(HIDDEN, eps=EPSILON)
        self.inner = nn.Linear(HIDDEN, INNER)
        self.outer = nn.Linear(INNER, HIDDEN)
        self.norm_output = nn.LayerNorm(HIDDEN, eps=EPSILON)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Apply attention and the feed-forward layer; ``mask``, (n, 1, 1, length), is true at tokens."""
        count, length, _ = hidden.shape
        query, key, value = self.qkv(hidden).view(count, length, 3, HEADS, HIDDEN // HEADS).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        hidden = self.norm_attention(hidden + self.out(attended.transpose(1, 2).reshape(count, length, HIDDEN)))
        normed: Tensor = self.norm_output(hidden + self.outer(functional.gelu(self.inner(hidden))))
        return normed


class MiniLM(nn.Module):
    """The encoder, which returns a vector of 384 dimensions per token."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, HIDDEN)
        self.positions = nn.Embedding(POSITIONS, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN, eps=EPSILON)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, inputs: Tensor, mask: Tensor, first: int = 0, last: int = LAYERS) -> Tensor:
        """Return the token vectors, (n, length, 384), after layer `last`.

        ``inputs`` are token ids, (n, length), or with `first` > 0 the token vectors after this layer; ``mask`` is true at tokens.
        """
        hidden = inputs if first else self.norm(self.words(inputs) + self.positions.weight[: inputs.shape[1]])
        wide = mask[:, None, None, :]
        for layer in self.layers[first:last]:
            hidden = layer(hidden, wide)
        return hidden


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the checkpoint's tensors under the names in `MiniLM`; position vectors include the token-type vector."""
    new = {
        "words.weight": state["embeddings.word_embeddings.weight"],
        "positions.weight": state["embeddings.position_embeddings.weight"]
        + state["embeddings.token_type_embeddings.weight"][0],
    }
    pairs = [("norm", "embeddings.LayerNorm")]
    for index in range(LAYERS):
        ours, theirs = f"layers.{index}", f"encoder.layer.{index}"
        for kind in ("weight", "bias"):
            parts = [state[f"{theirs}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            new[f"{ours}.qkv.{kind}"] = torch.cat(parts)
        pairs += [
            (f"{ours}.out", f"{theirs}.attention.output.dense"),
            (f"{ours}.norm_attention", f"{theirs}.attention.output.LayerNorm"),
            (f"{ours}.inner", f"{theirs}.intermediate.dense"),
            (f"{ours}.outer", f"{theirs}.output.dense"),
            (f"{ours}.norm_output", f"{theirs}.output.LayerNorm"),
        ]
    for mine, other in pairs:
        for kind in ("weight", "bias"):
            new[f"{mine}.{kind}"] = state[f"{other}.{kind}"]
    return new


def load_minilm(model_dir: str | None = None) -> MiniLM:
    """Build the encoder from the pinned checkpoint, in float32 and evaluation mode."""
    data = WeightFile(minilm_dir(model_dir) / "model.safetensors", MINILM_DIGEST).read()
    model = MiniLM()  # not on the meta device: that imports torch._dynamo, eight seconds of processor time
    model.load_state_dict(_renamed(load_safetensors(data)), assign=True)
    return model.eval().requires_grad_(requires_grad=False)


def load_tokenizer(model_dir: str | None = None) -> Tokenizer:
    """Build the pinned WordPiece tokenizer, without truncation, padding or special tokens."""
    data = WeightFile(minilm_dir(model_dir) / "tokenizer.json", MINILM_TOKENIZER).read()
    tokenizer = Tokenizer.from_str(data.decode())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def pad(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Pad n rows of token ids to the `padded` length of the longest; return the ids, (n, length), and a mask that is true at tokens."""
    longest = padded(max(map(len, rows)))
    ids = torch.tensor([[*row, *([0] * (longest - len(row)))] for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return ids, torch.arange(longest) < lengths[:, None]


def set_threads(threads: int | None) -> None:
    """Set the number of torch threads of this process; None or 0 leaves it unchanged."""
    if threads is not None and threads > 0:
        torch.set_num_threads(threads)


def encode_mean(model: nn.Module, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """Return the mean of the token vectors of each row, scaled to length one: float32 (rows, 384); ``model`` is a `MiniLM` or compiled."""
    result = np.zeros((len(rows), HIDDEN), dtype=np.float32)
    with torch.inference_mode():
        for batch in buckets(rows):
            ids, mask = pad([rows[index] for index in batch])
            hidden = model(ids, mask) * mask[..., None]
            result[batch] = functional.normalize(hidden.sum(1) / mask.sum(1, keepdim=True), dim=1).numpy()
    return result


def encode_tokens(model: nn.Module, rows: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
    """Return the token vectors of each row, float32 (length of the row, 384), not scaled; ``model`` as for `encode_mean`."""
    result = [np.zeros((0, HIDDEN), dtype=np.float32)] * len(rows)
    with torch.inference_mode():
        for batch in buckets(rows):
            ids, mask = pad([rows[index] for index in batch])
            hidden = model(ids, mask).numpy()
            for place, index in enumerate(batch):
                result[index] = hidden[place, : len(rows[index])].copy()
    return result
