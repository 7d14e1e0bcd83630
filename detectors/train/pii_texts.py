"""Labelled training texts for the PII token head: filled templates, and ordinary questions without entities."""

import random
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from detectors.evaluate.near_duplicates import splits
from detectors.evaluate.readers import ordinary_prompts
from detectors.train.pii_slots import Pieces, Slots
from detectors.train.real_texts import code_examples
from detectors.train.templates import read_source

_SLOT = re.compile(r"(?<!\{)\{(\w+)\}")
_NAMES = 500
#: Number of pieces of code, and words beside which code names people and organisations.
CODE = 1200
_NAMES_PEOPLE = re.compile(r"(?i)@|copyright|\(c\)|licen[cs]e|author|written by|maintain|contribut|thanks|original")
_DATE_WORDS = re.compile(
    r"(?i)\b(?:mon|tues|wednes|thurs|fri|satur|sun)day|\b(?:january|february|march|april|june|july|august|september|october|november|december)\b"
    r"|\b(?:1[89]|20)\d\d\b|\d\s?[ap]m\b|\d(?:st|nd|rd|th)\b"
)


class Labelled(NamedTuple):
    """A text with its entities as (start, end, kind)."""

    text: str
    #: A kind can be several names, divided by "|", if the label is ambiguous; an empty name means no entity.
    spans: tuple[tuple[int, int, str], ...]
    #: Kinds that text outside the spans can have, because the source does not label these kinds.
    open: tuple[str, ...] = ()


def _filled(slots: Slots, template: str) -> Pieces:
    slots.begin()
    pieces: Pieces = []
    for index, part in enumerate(_SLOT.split(template)):
        # An address on several lines has one entity per line; an address in a sentence is one entity.
        lines = part == "address" and index and pieces[-1][0].endswith("\n")
        pieces += (
            slots.fill("address_lines" if lines else part)
            if index % 2
            else [(part.replace("{{", "{").replace("}}", "}"), "")]
        )
    return pieces


def varied(pieces: Pieces, rng: random.Random, share: float = 1.0) -> Pieces:
    """At random, change all pieces or only the entities to lower case or capitals, and omit the final punctuation.

    ``share`` scales the probability (.36) that the case changes.
    """
    draw = rng.random() / share
    for limit, change, whole in (
        (0.22, str.lower, True),
        (0.3, str.lower, False),
        (0.33, str.upper, True),
        (0.36, str.upper, False),
    ):
        if draw < limit:
            pieces = [(change(text) if whole or kind else text, kind) for text, kind in pieces]
            break
    if rng.random() < 0.15 and pieces[-1][0].endswith((".", "?", "!")) and not pieces[-1][1]:
        pieces = [*pieces[:-1], (pieces[-1][0][:-1], "")]
    return pieces


def joined(pieces: Pieces, unlabelled: tuple[str, ...] = ()) -> Labelled:
    """Return the text of labelled pieces; ``unlabelled`` becomes `Labelled.open`."""
    text, spans = "", []
    for piece, kind in pieces:
        if kind and piece:
            spans.append((len(text), len(text) + len(piece), kind))
        text += piece
    return Labelled(text, tuple(spans), unlabelled)


def _training_questions(root: Path) -> list[str]:
    """Return a sample of CLINC's and HaluEval's questions in the train split of `near_duplicates.splits`."""
    found = sorted({text for source, text in ordinary_prompts(root) if source != "mtbench"})
    found = random.Random(0).sample(found, min(7_000, len(found)))
    return [text for text, split in zip(found, splits(found), strict=True) if split == "train"]


def _without_entities(candidates: list[str], slots: Slots) -> Iterator[str]:
    """Yield the questions without entities: no inner capitals, no dates, no known names (such as people or towns)."""
    words = read_source("pii_words").words
    names = {name.lower() for kind in ("cities", "first_names", "brands") for name in words[kind]}
    for kind in ("first", "last", "city", "country", "nationality"):
        for _ in range(_NAMES):
            slots.begin()
            names |= {"".join(text for text, _ in slots.fill(kind)).lower()}
    names |= {"wal mart", "boa", "visa card", "nyc", "la", "sf", "uk", "usa", "us"}
    known = {name for name in names if len(name) > 2}
    for text in candidates:
        inner = re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", text)
        tokens = re.findall(r"[a-z]+", text.lower())
        pairs = {f"{one} {two}" for one, two in pairwise(tokens)}
        if not inner and not _DATE_WORDS.search(text) and known.isdisjoint(tokens) and known.isdisjoint(pairs):
            yield text


def code_texts(seed: int) -> list[Labelled]:
    """Return pieces of code as texts without names; pieces that may name a person are left out."""
    found = [one.text for one in code_examples(seed) if one.split == "train" and not _NAMES_PEOPLE.search(one.text)]
    rng = random.Random(seed)
    return [Labelled(text, (), ("DATE_TIME", "AGE")) for text in rng.sample(found, min(CODE, len(found)))]


def texts(root: Path, positives: int, negatives: int, seed: int) -> list[Labelled]:
    """Return ``positives`` filled templates, and ``negatives`` texts without entities, a quarter of them synthetic."""
    slots, rng = Slots(seed), random.Random(seed)
    sentences = read_source("pii_sentences").templates
    templates, without = sentences["with_entities"], sentences["without_entities"]
    found: list[Labelled] = []
    while len(found) < positives:
        pieces = varied(_filled(slots, rng.choice(templates)), rng)
        if rng.random() < 0.2:
            other = rng.choice(templates if rng.random() < 0.5 else without)
            pieces = [*pieces, (rng.choice((" ", "\n", "\n\n")), ""), *varied(_filled(slots, other), rng)]
        found.append(joined(pieces))
    own = [joined(varied(_filled(slots, rng.choice(without)), rng)) for _ in range(negatives // 4)]
    questions = list(_without_entities(_training_questions(root), slots))
    rng.shuffle(questions)
    found += own + [Labelled(text, ()) for text in questions[: negatives - len(own)]]
    rng.shuffle(found)
    return found
