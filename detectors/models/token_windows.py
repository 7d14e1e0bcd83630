"""Texts to windows of token ids: linear in the text, honest about the share that they cover."""

import re
from collections.abc import Iterator, Sequence

import msgspec
from tokenizers import Tokenizer

from detectors.normalise.unicode import without_surrogates

__all__ = ["CLS", "SEP", "WINDOW", "Windows", "buckets", "split_long_words", "tokenize", "windows"]

CLS, SEP = 101, 102
WINDOW = 126
STRIDE = 100
# WordPiece gives up on words over 100 characters ([UNK]): a text without spaces would pass unseen, so they are cut.
_LONG_WORD = re.compile(r"(\S{90})(?=\S)")


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of token ids (with their special tokens) and the share of the text's tokens in them."""

    rows: list[list[int]]
    covered: float


def split_long_words(text: str) -> str:
    """Return a text that any tokenizer takes whole: no lone surrogates, a space after each 90 characters of a word."""
    return _LONG_WORD.sub(r"\1 ", without_surrogates(text))


def tokenize(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Return token ids without special tokens; any string is taken, lone surrogates and long words too."""
    cleaned = [split_long_words(text) for text in texts]
    return [encoding.ids for encoding in tokenizer.encode_batch(cleaned, add_special_tokens=False)]


def windows(ids: list[int], most: int) -> Windows:
    """Cut into overlapping windows; where there are more than ``most``, keep that many, evenly spread, both ends in."""
    if not ids:
        return Windows(rows=[], covered=1.0)
    starts = list(range(0, max(1, len(ids) - WINDOW + STRIDE), STRIDE))
    if len(starts) > most:
        step = (len(starts) - 1) / max(1, most - 1)
        starts = sorted({round(index * step) * STRIDE for index in range(most)})
    seen, reached = 0, 0
    for start in starts:
        end = min(len(ids), start + WINDOW)
        seen += end - max(start, reached)
        reached = end
    return Windows(rows=[[CLS, *ids[start : start + WINDOW], SEP] for start in starts], covered=seen / len(ids))


def buckets(rows: Sequence[Sequence[int]], tokens: int = 2048, most: int = 64) -> Iterator[list[int]]:
    """Yield indices of rows of similar length, at most ``tokens`` padded tokens and ``most`` rows at a time."""
    batch: list[int] = []
    for index in sorted(range(len(rows)), key=lambda i: len(rows[i])):
        if batch and (len(batch) == most or (len(batch) + 1) * len(rows[index]) > tokens):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
