"""Public sets of texts with labelled persons, locations and organisations, divided into a training part and a held-out part.

The labels of WNUT17 and the Broad Twitter Corpus (BTC) are noisy. BTC's text labels mentions (``@ name``) as persons or
organisations; WNUT17 does not label mentions. WNUT17's training file and all of wikigold are training texts.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from detectors.base import Span
from detectors.evaluate.labelled import Case, LabelledSet
from detectors.evaluate.readers import complete

WIKIGOLD = "pii/ner_wikigold.conll.gz"
BTC = "pii/ner_btc_abefg.conll.gz"
WNUT_TRAIN, WNUT_DEV = "pii/ner_wnut17_train.conll.gz", "pii/ner_wnut17_dev.conll.gz"
PRESIDIO = "pii/presidio_generated_large.json.gz"
#: Number of tweets at the end of BTC's file that are not used for training.
BTC_HELD_OUT = 1000
#: Label of a data set → type of a span; other labels are not evaluated.
PERSONS_AND_PLACES = {"person": "PERSON", "PER": "PERSON", "location": "LOCATION", "LOC": "LOCATION"}

#: The tokens of a sentence, each with its label ("O", "B-PER", "I-PER", ...).
Sentence = list[tuple[str, str]]


def conll(path: Path) -> Iterator[Sentence]:
    """Yield the sentences of a gzipped file with a token and its label per line, and an empty line after each sentence."""
    sentence: Sentence = []
    with complete(path), gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            columns = line.strip("\r\n").rsplit("\t" if "\t" in line else " ", 1)
            if len(columns) == 2 and columns[0].strip():
                sentence.append((columns[0], columns[1]))
            elif sentence:
                yield sentence
                sentence = []
    if sentence:
        yield sentence


def btc_parts(path: Path) -> tuple[list[Sentence], list[Sentence]]:
    """Return the tweets of BTC for training, and the last `BTC_HELD_OUT` tweets, which are held out."""
    every = list(conll(path))
    return every[:-BTC_HELD_OUT], every[-BTC_HELD_OUT:]


def is_held_out(template: str) -> bool:
    """Return whether texts of a template of presidio-research are held out; this is so for about a third of the templates."""
    return zlib.crc32(template.encode()) % 3 == 0


def entities(sentence: Sentence) -> Iterator[tuple[int, int, str]]:
    """Yield the first token, the end token and the kind of each entity of a sentence, also if its labels have no "B-"."""
    begin, kind = 0, ""
    for index, (_, label) in enumerate([*sentence, ("", "O")]):
        mark, _, name = label.partition("-")
        if kind and (mark != "I" or name != kind):
            if sentence[begin:index] != [("@", sentence[begin][1])]:  # BTC labels the sign of a mention too
                yield begin, index, kind
            kind = ""
        if name and not kind:
            begin, kind = index, name


def _case(sentence: Sentence) -> Case:
    starts = [0]
    for token, _ in sentence:
        starts.append(starts[-1] + len(token) + 1)
    spans = tuple(
        Span(start=starts[first], end=starts[last] - 1, type=PERSONS_AND_PLACES[kind], score=1.0)
        for first, last, kind in entities(sentence)
        if kind in PERSONS_AND_PLACES
    )
    return Case(text=" ".join(token for token, _ in sentence), spans=spans)


def social_set(name: str, sentences: Sequence[Sentence]) -> LabelledSet:
    """Return sentences, joined with spaces, as a set for `pii` in which only persons and locations are labelled."""
    return LabelledSet(
        detector="pii", name=name, cases=[_case(sentence) for sentence in sentences], types=("PERSON", "LOCATION")
    )
