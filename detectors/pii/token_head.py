"""The token head: a small convolutional tagger that finds names, locations, organisations, jobs, dates and numbers.

Patterns find only data with a fixed form. A name has no fixed form, so the head recognises names by context. The word
embeddings are projections of MiniLM's word embeddings. The tokenizer removes capitals and line breaks, so a shape
embedding encodes each token's capitals and the character before the token.

Four dilated convolutions read nine tokens on each side (Strubell et al., arXiv 1702.02098). The time is linear in the
length of the text. Per token, the head needs 0.45 million multiplications, 4 % of those of MiniLM.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from detectors.errors import WeightsError
from detectors.models.minilm import HIDDEN, load_minilm
from detectors.models.weight_files import WeightFile
from detectors.pii.gazetteer import Gazetteer
from detectors.pii.tokens import SHAPES

#: Kinds of entities. FORMAT is data that patterns find (cards, IP addresses); the head learns only to ignore it.
KINDS = (
    "PERSON",
    "LOCATION",
    "ADDRESS",
    "ORGANIZATION",
    "TITLE",
    "NRP",
    "DATE_TIME",
    "AGE",
    "PHONE_NUMBER",
    "ID",
    "FORMAT",
)
CLASSES = 1 + 2 * len(KINDS)
WIDTH = 192
DILATIONS = (1, 2, 4, 2)
#: Empty positions between two texts in one row: the widest distance of a convolution, so that texts stay independent.
GAP = max(DILATIONS)
#: Tokens to each side that a token's class depends on.
REACH = sum(DILATIONS)
#: Approximate number of tokens in one row.
TOKENS = 4096
#: The id of the token ``[UNK]``.
UNKNOWN = 100


class Block(nn.Module):
    """A residual convolution of each token with its two neighbours at distance ``dilation``."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.norm = nn.LayerNorm(WIDTH)
        self.mix = nn.Linear(3 * WIDTH, WIDTH)

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        """Transform ``hidden``, (length, width), at the positions where ``real``, (length, 1), is 1."""
        normed = nn.functional.pad(self.norm(hidden) * real, (0, 0, self.dilation, self.dilation))
        length = len(hidden)
        around = torch.cat([normed[at : at + length] for at in (0, self.dilation, 2 * self.dilation)], dim=1)
        return hidden + nn.functional.gelu(self.mix(around)) * real


class TokenHead(nn.Module):
    """The tagger. Class 0 is a token outside entities, ``1 + 2k`` a first token of kind k, ``2 + 2k`` a later token."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(HIDDEN, WIDTH, bias=False)
        self.shapes = nn.Embedding(SHAPES, WIDTH)
        self.blocks = nn.ModuleList(Block(dilation) for dilation in DILATIONS)
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(WIDTH, CLASSES)

    def forward(self, words: Tensor, shapes: Tensor, real: Tensor) -> Tensor:
        """Return logits, (length, classes), for projected word vectors, (length, width), and shapes, (length,)."""
        hidden = (words + self.shapes(shapes)) * real
        for block in self.blocks:
            hidden = block(hidden, real)
        logits: Tensor = self.out(self.norm(hidden))
        return logits


def row(
    ids: Sequence[Sequence[int]], shapes: Sequence[Sequence[int] | NDArray[np.int64]]
) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """Concatenate texts with gaps between them; return ids, shapes, mask, and the start of each text.

    The mask, (length, 1), is 1 at tokens and 0 in gaps.
    """
    starts, length = [], 0
    for one in ids:
        starts.append(length)
        length += len(one) + GAP
    tokens, kinds, real = (np.full(length, fill, dtype=np.int64) for fill in (UNKNOWN, 0, 0))
    for start, one, shape in zip(starts, ids, shapes, strict=True):
        tokens[start : start + len(one)] = one
        kinds[start : start + len(one)] = shape
        real[start : start + len(one)] = 1
    return torch.from_numpy(tokens), torch.from_numpy(kinds), torch.from_numpy(real)[:, None].float(), starts


class Loaded:
    """The token head with its gazetteer and its word vectors, which are projected once at load and need 23 MB."""

    def __init__(self, head: TokenHead, words: Tensor, gazetteer: Gazetteer | None = None) -> None:
        self.gazetteer = gazetteer
        self._head = head
        self._words = words

    def probabilities(
        self, ids: Sequence[Sequence[int]], shapes: Sequence[NDArray[np.int64]]
    ) -> list[NDArray[np.float32]]:
        """Return the class probabilities of the tokens, (length, classes) per text, independent of the other texts."""
        found = [np.zeros((len(one), CLASSES), dtype=np.float32) for one in ids]
        with torch.inference_mode():
            for cuts in _rows([len(one) for one in ids]):
                # Each part is read with REACH more tokens on both sides, so that its result equals the result for the whole text.
                around = [(n, max(0, first - REACH), min(len(ids[n]), last + REACH)) for n, first, last in cuts]
                tokens, kinds, real, starts = row(
                    [ids[n][a:b] for n, a, b in around], [shapes[n][a:b] for n, a, b in around]
                )
                scores = torch.softmax(self._head(self._words[tokens], kinds, real), dim=1).numpy()
                for (n, first, last), (_, before, _), start in zip(cuts, around, starts, strict=True):
                    found[n][first:last] = scores[start + first - before : start + last - before]
        return found


def _rows(lengths: Sequence[int]) -> Iterator[list[tuple[int, int, int]]]:
    """Yield rows of at most `TOKENS` tokens, each a list of (text, first token, end token), in order."""
    cuts: list[tuple[int, int, int]] = []
    room = TOKENS
    for index, length in enumerate(lengths):
        for first in range(0, length, TOKENS):
            last = min(length, first + TOKENS)
            if cuts and last - first > room:
                yield cuts
                cuts, room = [], TOKENS
            cuts.append((index, first, last))
            room -= last - first + GAP
    if cuts:
        yield cuts


def load_head(model_dir: str | None, weights: WeightFile) -> Loaded:
    """Build the token head from MiniLM's word vectors and a file of weights; raises WeightsError."""
    head = TokenHead()
    content = weights.read()
    try:
        state: dict[str, Tensor] = load_safetensors(content)
        gazetteer = Gazetteer(*(state.pop(f"gazetteer.{name}").numpy() for name in ("hashes", "codes")))
        head.load_state_dict({name: value.float() for name, value in state.items()})
    except (KeyError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{weights.path} has no weights of pii's token head: {weights.remedy}") from error
    head.eval().requires_grad_(requires_grad=False)
    with torch.inference_mode():
        return Loaded(head, head.project(load_minilm(model_dir).words.weight), gazetteer)
