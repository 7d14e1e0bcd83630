"""Score how well the sources of an answer support one of its sentences: features, and a linear model of them.

An invented sentence often differs from its source only in a number, a name or a "not", so these are compared separately, in
all sources and in the passage that shares the most words with the sentence. Words that a paraphrase replaces are compared by
their vectors in context (as in BERTScore, Zhang et al., arXiv 1904.09675).
"""

import re
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.models.embedding import TokenVectors
from detectors.text.claims import STOP, WORD, Claim, is_name, stem

Floats = NDArray[np.float64]
#: Sentences that state nothing that a source could support: questions, remarks that the text has no information, and arithmetic.
_NOTHING = re.compile(
    r"(?:does not|doesn't|do not|don't|cannot|can't|not) (?:say|state|mention|tell|know|find|give|contain|specify|include|possible|enough)"
    r"|(?:no|not enough) information|\?[\"'”’)\]]*\s*$"  # noqa: RUF001 - both quotation marks
    r"|\d\s*[-+*/x×=]\s*\$?\d|=\s*\$?\d",  # noqa: RUF001 - the sign of multiplication
    re.IGNORECASE,
)
#: Beginnings of courtesies, and their maximum number of words; a name or a number makes a sentence a statement.
_COURTESY = re.compile(
    r"\W*(?:(?:i'm |i am )?(?:sorry|happy to|glad to)|i apologi[sz]e|i hope|hello|hi|sure|certainly|of course|thanks|thank you|let me know|feel free|"
    r"here (?:is|are)|here's)\b",
    re.IGNORECASE,
)
_COURTESY_WORDS = 6
#: Minimum number of words of a sentence without a name or a number; with fewer words it is a label ("Positive", "Yes").
_STATEMENT_WORDS = 3
#: Cosine from which a token in context counts as the same as a token of the sources; the value of features without a token.
_SAME = 0.7
#: Deduction for a name or number whose token no source contains.
_ABSENT = 0.2
FEATURES = (
    "missing_share",  # words that no source has, of the sentence's words
    "missing_name",  # whether it has a name, or a number, that no source has
    "missing_number",
    "name_gap",  # share of its words that the best passage has, less that of the passages with its name or number
    "number_gap",
    "negated_alone",  # it is negated, and the best passage is not: the share of its words in this passage
    "plain_alone",  # it is not negated, and the best sentence is: the share of words that both have
    "similarity",  # cosine with the most similar sentence, and mean of the three most similar
    "similarity_3",
    "token_mean",  # of its tokens, the cosine with the most similar token of the sources: mean, least
    "token_least",
    "anchor_least",  # of its names and numbers, the cosine with the same token of the sources: least, mean
    "anchor_mean",
    "near_least",  # as token_least, in the most similar sentence and its neighbours
    "token_doubt",  # sum of the differences of its tokens' cosines from `_SAME`, if lower
)


def is_statement(claim: Claim) -> bool:
    """Return whether a sentence of an answer states something: not a label, a courtesy, a question or a sum."""
    if _NOTHING.search(claim.text):
        return False
    if claim.names or claim.numbers:
        return True
    polite = len(claim.words) <= _COURTESY_WORDS and _COURTESY.match(claim.text.replace("’", "'"))  # noqa: RUF001
    return len(claim.words) >= _STATEMENT_WORDS and not polite


class _Passage(msgspec.Struct, frozen=True):
    words: frozenset[str]
    numbers: frozenset[str]
    negated: bool


class Sources:
    """The sentences of a prompt's sources, prepared for comparisons; at least one.

    Parameters
    ----------
    sentences, turns
        The sentences, and the message of each. A passage is a sentence with its successor in the same message, because sentences of answers
        often join two.
    tokens
        The token vectors of each sentence.
    said
        The user's other sentences: their words are neither a source nor invented.
    """

    def __init__(
        self,
        sentences: Sequence[Claim],
        turns: Sequence[int],
        tokens: Sequence[TokenVectors],
        said: Sequence[Claim] = (),
    ) -> None:
        self._words = frozenset(word for claim in sentences for word in claim.words)
        self._numbers = frozenset(number for claim in sentences for number in claim.numbers)
        self._said_words = frozenset(word for claim in said for word in claim.words)
        self._said_numbers = frozenset(number for claim in said for number in claim.numbers)
        self._sentences = sentences
        self._passages: list[_Passage] = []
        for row, claim in enumerate(sentences):
            follows = row + 1 < len(sentences) and turns[row] == turns[row + 1]
            last = sentences[row + 1] if follows else claim
            self._passages.append(
                _Passage(claim.words | last.words, claim.numbers | last.numbers, claim.negated or last.negated)
            )
        self._means = np.stack([one.mean for one in tokens])
        self._vectors = np.concatenate([one.vectors for one in tokens])
        self._ids = np.concatenate([one.ids for one in tokens])
        self._owners = np.repeat(np.arange(len(tokens)), [len(one.ids) for one in tokens])

    def nearest(self, tokens: TokenVectors) -> tuple[int, float]:
        """Return the row of the most similar sentence, and its cosine in [0, 1]."""
        similar = self._means @ tokens.mean
        row = int(np.argmax(similar))
        return row, min(1.0, max(0.0, float(similar[row])))

    def features(self, claim: Claim, tokens: TokenVectors) -> Floats:
        """Return the values of `FEATURES`."""
        passage = max(self._passages, key=lambda one: len(claim.words & one.words) + len(claim.numbers & one.numbers))
        size = max(1, len(claim.words))
        names, numbers = claim.names & self._words, claim.numbers & self._numbers
        shared = len(claim.words & passage.words) / size
        sentence = max(self._sentences, key=lambda one: len(claim.words & one.words) + len(claim.numbers & one.numbers))
        both = len(claim.words & sentence.words) / max(1, len(claim.words | sentence.words))
        return np.array(
            [
                len(claim.words - self._words - self._said_words) / size,
                bool(claim.names - self._words - self._said_words),
                bool(claim.digits - self._numbers - self._said_numbers),
                self._gap(claim, [[one for one in self._passages if name in one.words] for name in names], names),
                self._gap(claim, [[one for one in self._passages if number in one.numbers] for number in numbers]),
                shared * (claim.negated and not passage.negated),
                both * (sentence.negated and not claim.negated),
                *self._likeness(tokens),
            ],
            dtype=np.float64,
        )

    def _gap(self, claim: Claim, groups: list[list[_Passage]], names: frozenset[str] = frozenset()) -> float:
        """Return the share of the sentence's words that the best passage has beyond the best one of a group, for the worst group."""
        rest = claim.words - names
        if not groups or not rest:
            return 0.0
        anywhere = max(len(rest & one.words) for one in self._passages)
        return max(anywhere - max(len(rest & one.words) for one in group) for group in groups) / len(rest)

    def _likeness(self, tokens: TokenVectors) -> list[float]:
        """Return the features that compare vectors, from ``similarity`` on."""
        similar = self._means @ tokens.mean
        nearest = np.sort(similar)[::-1]
        found = [float(nearest[0]), float(nearest[:3].mean())]
        content, anchors = self._places(tokens)
        if not content or not len(self._ids):
            return [*found, _SAME, _SAME, _SAME, _SAME, _SAME, 0.0]
        cosines = tokens.vectors @ self._vectors.T
        most = cosines.max(1)
        own = most[content]
        same = np.where(tokens.ids[:, None] == self._ids, cosines, -1.0).max(1)
        anchored = np.where(same < -0.5, most - _ABSENT, same)[anchors] if anchors else np.array([_SAME])
        near = np.abs(self._owners - int(np.argmax(similar))) <= 1
        near_most = cosines[:, near].max(1) if near.any() else most
        return [
            *found,
            float(own.mean()),
            float(own.min()),
            float(anchored.min()),
            float(anchored.mean()),
            float(near_most[content].min()),
            float(np.clip(_SAME - own, 0.0, 1.0).sum()),
        ]

    def _places(self, tokens: TokenVectors) -> tuple[list[int], list[int]]:
        """Return the indices of the tokens of words, and of names and numbers, without words that only the user wrote."""
        kinds: dict[int, bool] = {}
        for match in WORD.finditer(tokens.text):
            word = match.group()
            known = stem(word)
            if word.lower() in STOP or (known in self._said_words and known not in self._words):
                continue
            anchor = word[0].isdigit() or (match.start() > 0 and is_name(word))
            kinds.update(dict.fromkeys(range(*match.span()), anchor))
        content = [row for row, start in enumerate(tokens.starts) if start in kinds]
        return content, [row for row in content if kinds[tokens.starts[row]]]


class SupportModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A linear model: the log-odds that a sentence is unsupported are ``bias`` plus the weighted sum of its features."""

    version: int
    bias: float
    weights: dict[str, float]

    def doubts(self, rows: Floats) -> Floats:
        """Return the doubt in [0, 1] about each row of features, (n, len(FEATURES))."""
        odds = self.bias + rows @ np.array([self.weights[name] for name in FEATURES])
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -30.0, 30.0))), dtype=np.float64)
