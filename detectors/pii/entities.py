"""Recognition of named entities in a batch of texts: the token head classifies tokens, which are joined into spans."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.pii.rules import RULES
from detectors.pii.tokens import Tokens, continues_word, encode

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from detectors.pii.token_head import Loaded

#: Characters that are cut from both ends of an entity.
TRIM = frozenset(" \t\r\n,;:!?\"'()[]{}<>|*_")

_WORD = re.compile(r"\S+")
#: Kinds whose entities contain a digit.
NUMBERS = frozenset({"PHONE_NUMBER", "ID", "AGE"})


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """A named entity: character offsets, kind (one of `detectors.pii.token_head.KINDS`) and probability."""

    start: int
    end: int
    kind: str
    probability: float


def find_entities(
    tokenizer: "Tokenizer", head: "Loaded", texts: Sequence[str], max_tokens: int
) -> list[tuple[list[Entity], int]]:
    """Return the entities in the first ``max_tokens`` tokens of each text, and the offset at which the search ended."""
    tokens = encode(tokenizer, texts, head.gazetteer)
    reached = [
        len(text) if len(token.ids) <= max_tokens else int(token.starts[max_tokens])
        for text, token in zip(texts, tokens, strict=True)
    ]
    tokens = [token.first(max_tokens) for token in tokens]
    scores = head.probabilities([token.ids for token in tokens], [token.shapes for token in tokens])
    found = [_decode(text, token, score) for text, token, score in zip(texts, tokens, scores, strict=True)]
    return list(zip(found, reached, strict=True))


def _decode(text: str, tokens: Tokens, scores: NDArray[np.float32]) -> list[Entity]:
    """Return a text's entities; a word has the mean probabilities of its tokens and can extend the entity before it."""
    from detectors.pii.token_head import KINDS  # noqa: PLC0415 - torch takes seconds to import

    if not len(scores) or (1.0 - scores[:, 0]).max() < min(RULES.sure_from.values()):
        return []
    starts, ends = tokens.starts, tokens.ends
    begins = np.flatnonzero(~continues_word(text, tokens))
    kinds = scores[:, 1::2] + scores[:, 2::2]
    sizes = np.diff(np.append(begins, len(scores)))
    words = np.add.reduceat(kinds, begins, axis=0) / sizes[:, None]
    best = words.argmax(1)
    some = words.sum(1)
    fresh = scores[begins, 1 + 2 * best] > scores[begins, 2 + 2 * best]
    found: list[Entity] = []
    previous = -2
    for word in np.flatnonzero(some >= np.array([RULES.sure_from[kind] for kind in KINDS])[best]).tolist():
        begin, kind = begins[word], KINDS[best[word]]
        start, end = int(starts[begin]), int(ends[begin + sizes[word] - 1])
        probability = float(some[word])
        last_one = found[-1] if found else None
        if last_one is not None and previous == word - 1 and last_one.kind == kind and not fresh[word]:
            mean = max(last_one.probability, probability)
            found[-1] = Entity(start=last_one.start, end=end, kind=kind, probability=mean)
        else:
            found.append(Entity(start=start, end=end, kind=kind, probability=probability))
        previous = word
    return [entity for raw in found if (entity := _trimmed(text, raw)) is not None]


def _without_numbers(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the offsets of a name without words with digits at its ends; a name of such words only is unchanged."""
    words = [word for word in _WORD.finditer(text, start, end) if not any(map(str.isdigit, word[0]))]
    return (words[0].start(), words[-1].end()) if words else (start, end)


def _trimmed(text: str, entity: Entity) -> Entity | None:
    """Remove punctuation at both ends of an entity; return None if no letter or digit is left, or no digit of a number."""
    start, end = entity.start, entity.end
    if entity.kind == "PERSON":
        start, end = _without_numbers(text, start, end)
    while start < end and text[start] in TRIM:
        start += 1
    while end > start and (
        text[end - 1] in TRIM or (text[end - 1] == "." and entity.kind not in {"TITLE", "ORGANIZATION", "ADDRESS"})
    ):
        end -= 1
    wanted = str.isdigit if entity.kind in NUMBERS else str.isalpha if entity.kind == "PERSON" else str.isalnum
    if not any(map(wanted, text[start:end])):
        return None
    return msgspec.structs.replace(entity, start=start, end=end)
