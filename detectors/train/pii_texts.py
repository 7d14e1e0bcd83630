"""Labelled texts for the PII head: filled templates, and ordinary questions that hold nothing of the kind."""

import random
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from detectors.evaluate.near_duplicates import clusters, split_of
from detectors.train.datasets import ordinary
from detectors.train.pii_slots import Pieces, Slots
from detectors.train.pii_templates import NEGATIVES, TEMPLATES
from detectors.train.pii_words import BRANDS, CITIES, FIRST_NAMES

__all__ = ["Labelled", "ordinary_split", "texts"]

_SLOT = re.compile(r"(?<!\{)\{(\w+)\}")
_NAMES = 500
_DATE_WORDS = re.compile(
    r"(?i)\b(?:mon|tues|wednes|thurs|fri|satur|sun)day|\b(?:january|february|march|april|june|july|august|september|october|november|december)\b"
    r"|\b(?:1[89]|20)\d\d\b|\d\s?[ap]m\b|\d(?:st|nd|rd|th)\b"
)


class Labelled(NamedTuple):
    """A text and its entities as (start, end, kind)."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


def _filled(slots: Slots, template: str) -> Pieces:
    slots.begin()
    pieces: Pieces = []
    last = 0
    for match in _SLOT.finditer(template):
        pieces.append((template[last : match.start()].replace("{{", "{").replace("}}", "}"), ""))
        pieces += slots.fill(match.group(1))
        last = match.end()
    pieces.append((template[last:].replace("{{", "{").replace("}}", "}"), ""))
    return pieces


def _dressed(pieces: Pieces, rng: random.Random) -> Pieces:
    """Write it as people do: all in lower case, values in lower case, in capitals, without the last full stop."""
    draw = rng.random()
    if draw < 0.22:
        pieces = [(text.lower(), kind) for text, kind in pieces]
    elif draw < 0.30:
        pieces = [(text.lower() if kind else text, kind) for text, kind in pieces]
    elif draw < 0.33:
        pieces = [(text.upper(), kind) for text, kind in pieces]
    elif draw < 0.36:
        pieces = [(text.upper() if kind else text, kind) for text, kind in pieces]
    if rng.random() < 0.15 and pieces[-1][0].endswith((".", "?", "!")) and not pieces[-1][1]:
        pieces = [*pieces[:-1], (pieces[-1][0][:-1], "")]
    return pieces


def _joined(pieces: Pieces) -> Labelled:
    text, spans = "", []
    for piece, kind in pieces:
        if kind and piece:
            spans.append((len(text), len(text) + len(piece), kind))
        text += piece
    return Labelled(text, tuple(spans))


def ordinary_split(root: Path, split: str, seed: int = 0) -> list[str]:
    """Return CLINC's and HaluEval's questions of one split, by near-duplicate cluster."""
    found = list(dict.fromkeys(text for source, text in ordinary(root) if source != "mtbench"))
    rng = random.Random(seed)  # noqa: S311 - a reproducible sample
    found = rng.sample(sorted(found), min(7_000, len(found)))
    numbers = clusters(found)
    return [text for text, number in zip(found, numbers, strict=True) if split_of(found[number]) == split]


def _without_entities(candidates: list[str], slots: Slots) -> Iterator[str]:
    """Keep questions that name nobody and nothing: no capital inside, no known town, country, first name, day or month."""
    names = {name.lower() for name in (*CITIES, *FIRST_NAMES, *BRANDS)}
    for kind in ("first", "last", "city", "country", "nationality"):
        for _ in range(_NAMES):
            slots.begin()
            names |= {"".join(text for text, _ in slots.fill(kind)).lower()}
    names |= {"wal mart", "boa", "visa card", "nyc", "la", "sf", "uk", "usa", "us"}
    words = {name for name in names if len(name) > 2}
    for text in candidates:
        inner = re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", text)
        tokens = re.findall(r"[a-z]+", text.lower())
        pairs = {f"{one} {two}" for one, two in pairwise(tokens)}
        if not inner and not _DATE_WORDS.search(text) and words.isdisjoint(tokens) and words.isdisjoint(pairs):
            yield text


def texts(root: Path, positives: int, negatives: int, seed: int) -> list[Labelled]:
    """Return filled sentences and negatives (half of them own, half ordinary questions of the training split), shuffled."""
    slots, rng = Slots(seed), random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    found: list[Labelled] = []
    while len(found) < positives:
        pieces = _dressed(_filled(slots, rng.choice(TEMPLATES)), rng)
        if rng.random() < 0.2:
            other = rng.choice(TEMPLATES if rng.random() < 0.5 else NEGATIVES)
            pieces = [*pieces, (rng.choice((" ", "\n", "\n\n")), ""), *_dressed(_filled(slots, other), rng)]
        found.append(_joined(pieces))
    own = [_joined(_dressed(_filled(slots, rng.choice(NEGATIVES)), rng)) for _ in range(negatives // 4)]
    questions = list(_without_entities(ordinary_split(root, "train"), slots))
    rng.shuffle(questions)
    found += own + [Labelled(text, ()) for text in questions[: negatives - len(own)]]
    rng.shuffle(found)
    return found
