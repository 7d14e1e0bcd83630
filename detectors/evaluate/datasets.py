"""The labelled sets that this project knows, under one folder: what each text detector is measured on, and ordinary prompts.

Texts that the shared encoder was trained on, or near-copies of them, are left out: only the test split of `detectors.train.datasets` is
read, and none of it where one of its files is missing: the splits would be others.
Another detector registers its own sets in `READERS`, or cases of this project in `detectors.evaluate.own_cases`.
"""

import gzip
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from detectors.base import Span
from detectors.errors import DataError
from detectors.evaluate.labelled import Case, LabelledSet, Ordinary
from detectors.evaluate.own_cases import ordinary_answers, own_sets
from detectors.train.datasets import FILES, ORDINARY, TASKS, Example, kinds, load_examples, ordinary

__all__ = ["EVERY_SOURCE", "READERS", "SHIPPED_SEED", "Known", "known_sets", "ordinary_prompts", "presidio", "sample"]

#: The seed of the shipped weights, and so of their splits.
SHIPPED_SEED = 0
#: How the name of the set of all sources of a split begins.
EVERY_SOURCE = "all of the "
ItemT = TypeVar("ItemT")


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder holds: sets, ordinary prompts, the files that were read, and the known ones that are not there."""

    sets: Sequence[LabelledSet]
    ordinary: Sequence[Ordinary]
    files: Sequence[str]
    absent: Sequence[str]


class Reader(NamedTuple):
    """A set of a detector: its file under the folder, and what reads the path of that file."""

    file: str
    read: Callable[[Path], LabelledSet]


def presidio(path: Path) -> list[tuple[str, tuple[Span, ...]]]:
    """Return the texts of a file in presidio-research's form, with the spans that are marked in them."""
    records: list[dict[str, Any]] = json.loads(gzip.decompress(path.read_bytes()))
    return [
        (
            record["full_text"],
            tuple(
                Span(start=s["start_position"], end=s["end_position"], type=s["entity_type"], score=1.0)
                for s in record["spans"]
            ),
        )
        for record in records
    ]


def _pii(path: Path) -> LabelledSet:
    cases = [Case(text=text, spans=spans) for text, spans in presidio(path)]
    return LabelledSet(detector="pii", name=path.name.removesuffix(".json.gz"), cases=cases)


#: Detector → its sets, for the detectors that are not heads of the shared encoder.
READERS: dict[str, tuple[Reader, ...]] = {
    "pii": (
        Reader("pii/presidio_generated_large.json.gz", _pii),
        Reader("pii/presidio_generated_small.json.gz", _pii),
    ),
    "language": (Reader(ORDINARY["halueval_question"], partial(ordinary_answers, "language")),),
    "repetition": (Reader(ORDINARY["halueval_question"], partial(ordinary_answers, "repetition")),),
}


def sample(items: Sequence[ItemT], limit: int, seed: int) -> list[ItemT]:
    """Return at most ``limit`` items, all where it is 0, by a seed."""
    if not limit or len(items) <= limit:
        return list(items)
    return random.Random(seed).sample(list(items), limit)  # noqa: S311 - a reproducible sample


def _of_task(
    examples: Sequence[Example], finer: Mapping[str, Mapping[str, tuple[str, ...]]], task: str, limit: int, seed: int
) -> Iterator[LabelledSet]:
    """Yield the sets of one task: all sources of a split together, and a set a source."""
    index = TASKS.index(task)
    by_source: dict[str, list[Case]] = {}
    for example in examples:
        label = example.labels[index]
        if math.isnan(label):  # nobody knows
            continue
        # The finer labels are about toxicity.
        kind = finer.get(example.source, {}).get(example.text) if task == "toxicity" else None
        groups = {"type": kind} if kind else {}
        case = Case(text=example.text, label=label == 1, groups=groups)
        by_source.setdefault(example.source, []).append(case)
    sampled = {source: sample(cases, limit, seed) for source, cases in sorted(by_source.items())}
    together = [Case(text=case.text, label=case.label) for cases in sampled.values() for case in cases]
    if together:
        yield LabelledSet(detector=task, name=f"{EVERY_SOURCE}{examples[0].split} split", cases=together)
    for source, cases in sampled.items():
        yield LabelledSet(detector=task, name=source, cases=cases)


def ordinary_prompts(root: Path, limit: int, seed: int, seen: frozenset[str] = frozenset()) -> list[Ordinary]:
    """Return the ordinary prompts of a folder by source, at most ``limit`` each (0: all), without the texts in ``seen``."""
    by_source: dict[str, dict[str, None]] = {}
    for source, text in ordinary(root):
        if text not in seen:
            by_source.setdefault(source, {})[text] = None
    return [Ordinary(source=source, texts=sample(list(texts), limit, seed)) for source, texts in by_source.items()]


def known_sets(
    root: Path, names: Sequence[str], limit: int, seed: int, split: tuple[str, int] = ("test", SHIPPED_SEED)
) -> Known:
    """Read what a folder holds for the detectors ``names``; at most ``limit`` texts a source (0: all), drawn by ``seed``.

    ``split`` is which one of the shared encoder's splits is read, and the seed of its training, by which they were drawn.

    Raises
    ------
    DataError
        ``root`` is no folder, or none of the known files is there.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder: name the one that holds the known sets (docs/detectors.md)")
    tasks = [name for name in names if name in TASKS]
    readers = [reader for name in names for reader in READERS.get(name, ())]
    others = [reader.file for reader in readers]
    wanted = list(dict.fromkeys([*(FILES if tasks else ()), *others, *ORDINARY.values()]))
    there = [file for file in wanted if (root / file).is_file()]
    if not there:
        raise DataError(
            f"{root} holds none of the {len(wanted)} known files ({', '.join(wanted[:3])}, …): name the folder that holds "
            "them (docs/detectors.md), or evaluate a file of your own with --file and --columns"
        )
    sets: list[LabelledSet] = []
    seen: frozenset[str] = frozenset()
    # What the encoder was not trained on can only be told where all of its files are there.
    if tasks and set(FILES) <= set(there):
        examples, finer = load_examples(root, split[1]), kinds(root)
        held_out = [example for example in examples if example.split == split[0]]
        seen = frozenset(example.text for example in examples if example.split != split[0])
        sets += [one for task in tasks for one in _of_task(held_out, finer, task, limit, seed)]
    for reader in readers:
        if reader.file in there:
            one = reader.read(root / reader.file)
            sets.append(msgspec.structs.replace(one, cases=sample(one.cases, limit, seed)))
    # Own cases are few and of every kind alike: all of them are read.
    sets += [one for name in names for one in own_sets(name)]
    return Known(
        sets=sets,
        ordinary=ordinary_prompts(root, limit, seed, seen),
        files=there,
        absent=[file for file in wanted if file not in there],
    )
