"""Tokenization of texts into windows of token ids, in linear time, and the share of the text in the windows."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from detectors.normalise.unicode import without_surrogates

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CLS, SEP = 101, 102
WINDOW = 126
STRIDE = 100
PADDING = 16
# Long words are cut: WordPiece maps a word of over 100 characters to [UNK], so a text without spaces would not be read.
LONG_WORD = re.compile(r"(\S{90})(?=\S)")


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """The windows of a text, and the share of the text's tokens that are in windows.

    A window is a row of token ids, including special tokens.
    """

    rows: list[list[int]]
    covered: float


def split_long_words(text: str) -> str:
    """Insert a space after each 90 characters of a word, and replace lone surrogates.

    A tokenizer maps longer words to ``[UNK]`` and rejects lone surrogates.
    """
    return LONG_WORD.sub(r"\1 ", without_surrogates(text))


def tokenize(tokenizer: "Tokenizer", texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each text without special tokens; texts may have lone surrogates and long words."""
    cleaned = [split_long_words(text) for text in texts]
    return [encoding.ids for encoding in tokenizer.encode_batch(cleaned, add_special_tokens=False)]


def windows(ids: list[int], most: int) -> Windows:
    """Cut token ids into overlapping windows; of more than ``most`` windows, keep ``most`` evenly spaced windows."""
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


def padded(length: int) -> int:
    """Return the length to which a row is padded, the next multiple of 16.

    The length depends on the row alone. With a longer row's length, sums in the attention would be rounded differently, so
    a score would depend on the other texts of the batch.
    """
    return -(-length // PADDING) * PADDING


def buckets(rows: Sequence[Sequence[int]], tokens: int = 2048, most: int = 64) -> Iterator[list[int]]:
    """Yield batches of indices of rows with equal `padded` length, each with at most ``tokens`` tokens including padding."""
    batch: list[int] = []
    for index in sorted(range(len(rows)), key=lambda i: len(rows[i])):
        length = padded(len(rows[index]))
        full = len(batch) == most or (len(batch) + 1) * length > tokens
        if batch and (full or length != padded(len(rows[batch[0]]))):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
