"""Rules that turn a true answer into an answer that its source does not support; each rule changes or adds one sentence."""

import random
import re
from collections.abc import Callable, Sequence

import msgspec

_NUMBER = re.compile(r"(?<![\w#.,])\d+(?:,\d{3})*(?:\.\d+)?(?![\w#])")
_NAME = re.compile(r"(?<=[\w,;] )[A-Z][a-z]{2,}(?: [A-Z][a-z]{2,})*\b")
_FIRST_NAME = re.compile(r"^[A-Z][a-z]{2,}(?: [A-Z][a-z]{2,})+\b")
_AUXILIARY = re.compile(
    r"\b(?:is|are|was|were|has|had|will|would|can|could|may|might|should|must)\b(?! (?:not|no|never)\b| n't|['\u2019]t)"
)
_NOT = re.compile(r"\b(is|are|was|were|has|had|will|would|can|could|may|might|should|must|do|does|did)(?: not|n't)\b")
_CLAUSE = re.compile(r"[,;] (?:and |but |who |which |after |because )?[a-z][^,;.]{20,120}(?=[,;.])")


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """The source of an answer, a source of another answer, and a sentence of another answer."""

    source: str
    other_source: str
    other_sentence: str


class Corrupted(msgspec.Struct, frozen=True, kw_only=True):
    """A corrupted text; the unsupported characters are ``[start, end)``."""

    kind: str
    text: str
    start: int
    end: int


def _replaced(text: str, match: re.Match[str], new: str, kind: str) -> Corrupted:
    start, end = match.span()
    return Corrupted(kind=kind, text=text[:start] + new + text[end:], start=start, end=start + len(new))


def _pick(found: Sequence[str], old: str, text: str, rng: random.Random) -> str | None:
    listed = sorted({one for one in found if one.lower() not in text.lower() and old.lower() not in one.lower()})
    return rng.choice(listed) if listed else None


def _names(text: str) -> list[re.Match[str]]:
    first = _FIRST_NAME.match(text)
    inner = [match for match in _NAME.finditer(text) if first is None or match.start() >= first.end()]
    return [*inner, *([first] if first else [])]


def _name(text: str, material: Material, rng: random.Random, *, same: bool) -> Corrupted | None:
    places = _names(text)
    if not places:
        return None
    place = rng.choice(places)
    given = material.source if same else material.other_source
    found = [match.group() for match in _NAME.finditer(given)]
    if not same:
        found = [name for name in found if not any(word in material.source for word in name.split())]
    new = _pick(found, place.group(), text, rng)
    return _replaced(text, place, new, "name of the source" if same else "new name") if new else None


def _number(text: str, material: Material, rng: random.Random, *, same: bool) -> Corrupted | None:
    places = list(_NUMBER.finditer(text))
    if not places:
        return None
    place = rng.choice(places)
    old = place.group()
    if same:
        new = _pick(_NUMBER.findall(material.source), old, text, rng)
    else:
        digits = [at for at, sign in enumerate(old) if sign.isdigit()]
        at = rng.choice(digits)
        drawn = [f"{old[:at]}{digit}{old[at + 1 :]}" for digit in "123456789" if digit != old[at]]
        new = _pick([one for one in drawn if one not in material.source], old, text, rng)
    return _replaced(text, place, new, "number of the source" if same else "new number") if new else None


def _negation(text: str, material: Material, rng: random.Random) -> Corrupted | None:
    del material
    if place := _NOT.search(text):
        return _replaced(text, place, place.group(1), "negation")
    places = list(_AUXILIARY.finditer(text))
    if not places:
        return None
    place = rng.choice(places)
    return _replaced(text, place, f"{place.group()} not", "negation")


def _added_sentence(text: str, material: Material, rng: random.Random) -> Corrupted | None:
    del rng
    added = material.other_sentence
    joint = " " if text.rstrip().endswith((".", "!", "?")) else ". "
    start = len(text.rstrip()) + len(joint)
    return Corrupted(kind="added sentence", text=f"{text.rstrip()}{joint}{added}", start=start, end=start + len(added))


def _added_clause(text: str, material: Material, rng: random.Random) -> Corrupted | None:
    clauses = [match.group() for match in _CLAUSE.finditer(material.other_source)]
    if not clauses or len(text.split()) < 5:
        return None
    bare = text.rstrip(" .!?")
    clause = rng.choice(clauses)
    return Corrupted(kind="added clause", text=f"{bare}{clause}.", start=len(bare), end=len(bare) + len(clause) + 1)


def _swapped(text: str, material: Material, rng: random.Random) -> Corrupted | None:
    del material
    places = sorted(_names(text), key=lambda match: match.start())
    distinct = [one for one in places if one.group() != places[0].group()]
    if not distinct:
        return None
    first, second = places[0], rng.choice(distinct)
    changed = f"{text[: first.start()]}{second.group()}{text[first.end() : second.start()]}{first.group()}{text[second.end() :]}"
    return Corrupted(kind="names exchanged", text=changed, start=first.start(), end=second.end())


Rule = Callable[[str, Material, random.Random], Corrupted | None]
KINDS: dict[str, Rule] = {
    "new name": lambda text, material, rng: _name(text, material, rng, same=False),
    "name of the source": lambda text, material, rng: _name(text, material, rng, same=True),
    "new number": lambda text, material, rng: _number(text, material, rng, same=False),
    "number of the source": lambda text, material, rng: _number(text, material, rng, same=True),
    "negation": _negation,
    "added sentence": _added_sentence,
    "added clause": _added_clause,
    "names exchanged": _swapped,
}


def corrupted(text: str, material: Material, rng: random.Random) -> list[Corrupted]:
    """Return one corrupted text for each rule that can change ``text``."""
    return [made for rule in KINDS.values() if (made := rule(text, material, rng)) is not None]
