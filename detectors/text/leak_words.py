"""The word lists of the leak detector, and the regular expressions made of them."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

import msgspec

from detectors.text.claims import STEM
from detectors.toml_files import read_toml

#: A word; "I'm" and "it's" are one word.
TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")  # noqa: RUF001 - both apostrophes
_SEPARATORS = re.compile(r"[\W_]+")
_MARKS = '"“”„«»`'
#: A quotation; its text is the first or the second group.
QUOTED = re.compile(
    rf"[{_MARKS}]([^{_MARKS}\n]{{2,120}})[{_MARKS}]|(?<![\w'’])['‘]([^'‘’\n]{{2,80}})['’](?!\w)"  # noqa: RUF001
)
#: A label of one word, such as "key:".
NAMED = re.compile(r"(?:^\W*|[.?!;]\u2060?\s+)([^\W\d_]{3,20})\s*[:=]\s")
_SAY = re.compile(
    r"\b(?:say(?:ing)?|repl(?:y|ies)|respond|answer|tell|greet|begin|start|end|sign|finish|write|ask|append|add|reason|message)\b"
    rf"[^{_MARKS}.!?]{{0,30}}$",
    re.IGNORECASE,
)


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lists of `leak_words.toml`, which explains them."""

    secret_nouns: tuple[str, ...]
    confidential: tuple[str, ...]
    tell: tuple[str, ...]
    negations: tuple[str, ...]
    operator_text: tuple[str, ...]
    imperatives: tuple[str, ...]
    secrecy: tuple[str, ...]
    value_ends: frozenset[str]
    no_values: frozenset[str]
    shouted: frozenset[str]
    secret_labels: frozenset[str]


@cache
def words() -> Words:
    """Return the word lists."""
    return read_toml("detectors.text", "leak_words.toml", Words)


@cache
def secrecy() -> frozenset[str]:
    """Return the stems of words of secrecy."""
    return frozenset(stem(word) for word in words().secrecy)


def stem(word: str) -> str:
    """Return the first letters of a word, without accents and without the s of a plural."""
    plain = "".join(c for c in unicodedata.normalize("NFD", word.lower()) if not unicodedata.combining(c))
    return (plain.rstrip("s") if len(plain) > 3 else plain)[:STEM].rstrip("s")


def alternatives(listed: Sequence[str]) -> str:
    """Return a regular expression of whole words that matches any of the expressions in `listed`."""
    return rf"(?<!\w)(?:{'|'.join(listed)})(?!\w)"


def tokens(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return [match.group().lower().replace("’", "'") for match in TOKEN.finditer(text)]  # noqa: RUF001


def squashed(text: str) -> str:
    """Return the letters and digits of a text in lower case."""
    return _SEPARATORS.sub("", text.lower())


def said_before(text: str, position: int) -> bool:
    """Return whether the text before a quotation says that the assistant says it ("reply with …")."""
    return _SAY.search(text[max(0, position - 60) : position]) is not None


class Patterns:
    """The regular expressions that read a system prompt."""

    def __init__(self) -> None:
        lists = words()
        noun, negation = alternatives(lists.secret_nouns), alternatives(lists.negations)
        tell = alternatives([f"(?:{'|'.join(lists.tell)})(?:n|d|ed|s|ing)?"])
        self.noun = re.compile(noun, re.IGNORECASE)
        self.negation = re.compile(negation, re.IGNORECASE)
        self.confidential = re.compile(alternatives(lists.confidential), re.IGNORECASE)
        self.forbids = re.compile(
            rf"{negation}(?! (?:like|want|need|have|know)\b)[^.!?\n]{{0,40}}?{tell}", re.IGNORECASE
        )
        self.hides_prompt = re.compile(
            rf"{negation}[^.!?\n]{{0,40}}?{tell}[^.!?\n]{{0,40}}?{alternatives(lists.operator_text)}", re.IGNORECASE
        )
        self.imperative = re.compile(rf"^\W*(?:{'|'.join(lists.imperatives)})(?!\w)", re.IGNORECASE)
        self.value = re.compile(
            rf"{noun}(?: (?:for|of|to|that|used|which|on)\b[^.:=\n]{{0,60}}?)?(?:\s*[:=→]\s*|\s+(?:is|was|ist|lautet|est|es|é|è|reads)\s*:?\s+)",
            re.IGNORECASE,
        )
        self.coded_value = re.compile(rf"{noun}(?: (?:is|are|to|called|of))?[\s(]+", re.IGNORECASE)


@cache
def patterns() -> Patterns:
    """Return the regular expressions."""
    return Patterns()
