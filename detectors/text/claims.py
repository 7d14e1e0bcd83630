"""Sentences of answers and of their sources, with their words, numbers, names and negation."""

import re
from collections.abc import Iterator

import msgspec

#: The end of a sentence is a sign before a space (but not after an initial or a title), or the end of the line.
_SENTENCE = re.compile(
    r"\S.*?(?:(?:(?<=[.!?])|(?<=[.!?][\"'”’)\]]))(?<!\b[A-Z]\.)(?<!\b[DMS][rst]\.)(?<!\bMrs\.)(?=\s)|(?<=[。！？])|$)",  # noqa: RUF001 - full-width ends
    re.MULTILINE,
)
#: Maximum length of a sentence, in characters; a longer sentence, such as a line of JSON, is cut.
_LONGEST = 400
WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?")  # noqa: RUF001 - both apostrophes
NUMBERS = {
    word: str(value)
    for value, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
}
#: Words that are not compared.
STOP = frozenset(
    re.findall(
        r"\w+",
        "a about after all also am an and any are as at be because been before but by can could did do does down "
        "during each for from had has have he her his how i if in into is it its just may more most much must my "
        "of off on only or other our out over own per said same she should so some such than that the their them "
        "then there these they this those through to too under until up very was we were what when where which "
        "while who whose why will with would you your according text passage says yes",
    )
)
_NO_NAMES = STOP | NUMBERS.keys()
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|cannot|without)\b|n ?['’]t\b",  # noqa: RUF001 - both apostrophes
    re.IGNORECASE,
)
#: Number of first letters of a word that are compared, because endings differ in a paraphrase.
STEM = 5


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence with its position in the text, its words, numbers and names, and whether it is negated.

    `digits` are the numbers that are written in digits: an answer often counts items of its source ("three cities").
    """

    start: int
    end: int
    text: str
    words: frozenset[str]
    numbers: frozenset[str]
    digits: frozenset[str]
    names: frozenset[str]
    negated: bool


def claims(text: str, most: int) -> tuple[list[Claim], float]:
    """Return the first ``most`` sentences of a text, and the share of the text's characters that they cover."""
    found: list[Claim] = []
    end = 0
    for start, stop in _sentences(text):
        if len(found) == most:
            return found, end / len(text)
        end = stop
        found.append(claim_of(text[start:stop], start))
    return found, 1.0


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    for match in _SENTENCE.finditer(text):
        start, end = match.span()
        while end - start > _LONGEST:
            cut = max(text.rfind(sign, start + 1, start + _LONGEST) for sign in " ,")
            cut = cut if cut > start else start + _LONGEST - 1
            yield start, cut + 1
            start = cut + 1
        if start < end:
            yield start, end


def claim_of(text: str, start: int = 0) -> Claim:
    """Return the claim of one sentence that begins at ``start``."""
    tokens = WORD.findall(text)
    numbers = [token for token in tokens if _is_number(token)]
    # Every sentence begins with a capital, so the first word counts as a name only if the second word has a capital, too.
    begun = 0 if len(tokens) > 1 and tokens[1][0].isupper() else 1
    return Claim(
        start=start,
        end=start + len(text),
        text=text,
        words=frozenset(stem(token) for token in tokens if token.lower() not in STOP and not token[0].isdigit()),
        numbers=frozenset(map(_number, numbers)),
        digits=frozenset(_number(token) for token in numbers if token[0].isdigit()),
        names=frozenset(stem(token) for token in tokens[begun:] if is_name(token)),
        negated=bool(_NEGATION.search(text)),
    )


def is_name(token: str) -> bool:
    """Return whether a word that does not begin a sentence is a name: it has a capital, and is not a common word or numeral."""
    bare = re.split("['’]", token.lower())[0]  # noqa: RUF001 - both apostrophes; "I'm" is not a name
    return len(token) > 1 and token[0].isupper() and bare not in _NO_NAMES


def compared(token: str) -> str:
    """Return the form of a word or number in which it is compared: "Two" as 2, "1,000" as 1000, another word as its `stem`."""
    return _number(token) if _is_number(token) else stem(token)


def _is_number(token: str) -> bool:
    return token[0].isdigit() or token.lower() in NUMBERS


def _number(token: str) -> str:
    return NUMBERS.get(token.lower(), token.replace(",", "")).rstrip(".:")


def stem(token: str) -> str:
    """Return the part of a word that is compared."""
    return token.lower().removesuffix("'s").removesuffix("’s")[:STEM]  # noqa: RUF001 - both apostrophes
