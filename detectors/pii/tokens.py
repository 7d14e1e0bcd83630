"""Tokenization for the PII token head: the id, offsets and shape of each token.

The shape encodes capitals, digits, the space before the token, and the lists of names that contain the token's word.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.models.token_windows import LONG_WORD
from detectors.pii.gazetteer import CODES, Gazetteer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Six cases (no letter, lower, Title, UPPER, miXed, digits) times three gaps before a token (none, space, line break).
FORMS = 18
#: A shape is a form plus `FORMS` times the code of the gazetteer.
SHAPES = FORMS * CODES
_LETTER, _UPPER, _DIGIT, _SPACE, _BREAK = 1, 2, 4, 8, 16


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of one text, without special tokens: ids, start and end offsets in characters, and shapes."""

    ids: list[int]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    shapes: NDArray[np.int64]

    def first(self, count: int) -> "Tokens":
        """Return the first ``count`` tokens."""
        if len(self.ids) <= count:
            return self
        cut = slice(count)
        return Tokens(ids=self.ids[cut], starts=self.starts[cut], ends=self.ends[cut], shapes=self.shapes[cut])


@cache
def _classes() -> NDArray[np.uint8]:
    """Return the bits `_LETTER` to `_BREAK` of each code point below 65536; the last entry (0) is for all others."""
    table = np.zeros(65537, dtype=np.uint8)
    for code in range(65536):
        c = chr(code)
        table[code] = (
            _LETTER * c.isalpha()
            | _UPPER * c.isupper()
            | _DIGIT * c.isdigit()
            | _SPACE * c.isspace()
            | _BREAK * (c in "\n\r\u2028")
        )
    return table


def _bits(text: str) -> NDArray[np.uint8]:
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)
    found: NDArray[np.uint8] = _classes()[np.minimum(codes, 65536)]
    return found


def continues_word(text: str, tokens: Tokens) -> NDArray[np.bool_]:
    """Return for each token whether it continues the previous token's word: letters or digits on both sides, no gap."""
    alnum = (_bits(text) & (_LETTER | _DIGIT)) != 0
    inside = np.zeros(len(tokens.ids), dtype=np.bool_)
    touching = tokens.starts[1:] == tokens.ends[:-1]
    inside[1:] = touching & alnum[tokens.starts[1:]] & alnum[tokens.ends[:-1] - 1]
    return inside


def _shapes(text: str, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    bits = _bits(text)
    sums = {bit: np.concatenate(([0], np.cumsum((bits & bit) != 0))) for bit in (_LETTER, _UPPER, _DIGIT, _BREAK)}
    letters, uppers, digits = (sums[bit][ends] - sums[bit][starts] for bit in (_LETTER, _UPPER, _DIGIT))
    first = (bits[starts] & _UPPER) != 0
    case = np.where(letters == 0, np.where(digits > 0, 5, 0), 4)
    case = np.where((letters > 0) & (uppers == 0), 1, case)
    case = np.where((uppers == 1) & first, 2, case)
    case = np.where((uppers > 1) & (uppers == letters), 3, case)
    before = np.concatenate(([0], ends[:-1]))
    gap = np.where(starts == before, 0, np.where(sums[_BREAK][starts] > sums[_BREAK][np.minimum(before, starts)], 2, 1))
    if len(gap):
        gap[0] = 2  # the start of a text counts as the start of a line
    return (case * 3 + gap).astype(np.int64)


def _named(text: str, tokens: Tokens, gazetteer: Gazetteer) -> Tokens:
    """Return the tokens with the codes of their words in the shapes."""
    begins = np.flatnonzero(~continues_word(text, tokens))
    if not len(begins):
        return tokens
    sizes = np.diff(np.append(begins, len(tokens.ids)))
    first, last = tokens.starts[begins].tolist(), tokens.ends[begins + sizes - 1].tolist()
    codes = gazetteer.lookup([text[a:b] for a, b in zip(first, last, strict=True)])
    return msgspec.structs.replace(tokens, shapes=tokens.shapes + FORMS * np.repeat(codes, sizes))


def encode(tokenizer: "Tokenizer", texts: Sequence[str], gazetteer: Gazetteer | None = None) -> list[Tokens]:
    """Return the tokens of each text, in time linear in its length; texts must not contain lone surrogates."""
    cut = [LONG_WORD.sub(r"\1 ", text) if len(text) > 90 else text for text in texts]
    found: list[Tokens] = []
    for text, spaced, encoding in zip(texts, cut, tokenizer.encode_batch(cut, add_special_tokens=False), strict=True):
        offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        if len(spaced) != len(text):
            inserted = np.array([match.end() for match in LONG_WORD.finditer(text)], dtype=np.int64)
            # Space number n was put after character inserted[n], so at position inserted[n] + n of the spaced text.
            offsets = offsets - np.searchsorted(inserted + np.arange(len(inserted)), offsets, side="left")
        starts, ends = offsets[:, 0], np.maximum(offsets[:, 1], offsets[:, 0])
        shapes = _shapes(text, starts, ends) if len(starts) else np.zeros(0, dtype=np.int64)
        tokens = Tokens(ids=encoding.ids, starts=starts, ends=ends, shapes=shapes)
        found.append(tokens if gazetteer is None else _named(text, tokens, gazetteer))
    return found
