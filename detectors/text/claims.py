"""Features of the groundedness detector: how the words of an answer's sentences differ from those of its prompt.

An invented sentence often differs only in numbers, names or a "not", so these are compared separately.
"""

import re
from collections.abc import Iterable, Sequence

import msgspec

__all__ = ["Claim", "claims", "unsupported", "vocabulary"]

_SENTENCE = re.compile(r"\S.*?(?:(?<=[.!?])(?=\s)|(?<=[。！？])|$)", re.MULTILINE)  # noqa: RUF001 - full-width ends
_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?")  # noqa: RUF001 - both apostrophes
_NUMBERS = {
    word: str(value)
    for value, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
}
_STOP = frozenset(
    re.findall(
        r"\w+",
        "a about after all also am an and any are as at be because been before but by can could did do does down "
        "during each for from had has have he her his how i if in into is it its just may more most much must my "
        "of off on only or other our out over own per said same she should so some such than that the their them "
        "then there these they this those through to too under until up very was we were what when where which "
        "while who whose why will with would you your according text passage says yes",
    )
)
_NEGATION = re.compile(r"\b(?:not|no|never|none|nobody|nothing|neither|nor|cannot|without)\b|n['’]t\b", re.IGNORECASE)  # noqa: RUF001
#: Phrases of an answer that gives no information; it contains no unsupported statement.
_NO_ANSWER = re.compile(
    r"(?:does not|doesn't|do not|don't|cannot|can't|not) (?:say|state|mention|tell|know|give|contain|specify|include|possible|enough)"
    r"|(?:no|not enough) information",
    re.IGNORECASE,
)
#: Number of first letters of a word that are compared, because endings differ in a paraphrase.
STEM = 5


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence with its position in the text, its words, numbers and names, and whether it is negated."""

    start: int
    end: int
    text: str
    words: frozenset[str]
    numbers: frozenset[str]
    names: frozenset[str]
    negated: bool


def claims(text: str, most: int) -> tuple[list[Claim], float]:
    """Return the first ``most`` sentences of a text, and the share of the text's characters that they cover."""
    found: list[Claim] = []
    end = 0
    for match in _SENTENCE.finditer(text):
        if len(found) == most:
            return found, end / len(text)
        end = match.end()
        found.append(_claim(match.group(), match.start()))
    return found, 1.0


def _claim(text: str, start: int) -> Claim:
    tokens = _WORD.findall(text)
    numbers = frozenset(_number(token) for token in tokens if token[0].isdigit() or token.lower() in _NUMBERS)
    # The first word is a name where a second one follows: any sentence begins with a capital.
    begun = 0 if len(tokens) > 1 and tokens[1][0].isupper() else 1
    names = frozenset(_stem(t) for t in tokens[begun:] if t[0].isupper() and t.lower() not in _STOP | _NUMBERS.keys())
    words = frozenset(_stem(t) for t in tokens if t.lower() not in _STOP and not t[0].isdigit())
    return Claim(
        start=start,
        end=start + len(text),
        text=text,
        words=words,
        numbers=numbers,
        names=names,
        negated=bool(_NEGATION.search(text)),
    )


def _number(token: str) -> str:
    return _NUMBERS.get(token.lower(), token.replace(",", "")).rstrip(".:")


def _stem(token: str) -> str:
    return token.lower().removesuffix("'s").removesuffix("’s")[:STEM]  # noqa: RUF001 - both apostrophes


def vocabulary(sentences: Iterable[Claim]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the words and the numbers of all sentences."""
    listed = list(sentences)
    return (
        frozenset(word for claim in listed for word in claim.words),
        frozenset(number for claim in listed for number in claim.numbers),
    )


def unsupported(
    claim: Claim, context: Sequence[Claim], known: tuple[frozenset[str], frozenset[str]], similarity: Sequence[float]
) -> float:
    """Return the doubt about a sentence of an answer, in [0, 1]: 0 if the prompt fully supports the sentence.

    ``context`` contains the prompt's sentences, ``known`` is their `vocabulary`, and ``similarity`` contains the cosine
    similarity of ``claim`` to each sentence of ``context``.
    """
    if not claim.words or _NO_ANSWER.search(claim.text):
        return 0.0
    words, numbers = known
    shared = len(claim.words & words) / len(claim.words)
    nearest = max(range(len(context)), key=lambda index: similarity[index])
    likeness = min(1.0, max(0.0, (similarity[nearest] - 0.2) / 0.6))
    doubt = 1.0 - 0.6 * shared - 0.4 * likeness
    if claim.numbers - numbers:
        doubt = max(doubt, 0.9)
    if claim.names - words:
        doubt = max(doubt, 0.8)
    if claim.negated != context[nearest].negated and likeness > 0.5:
        doubt = max(doubt, 0.6)
    return doubt
