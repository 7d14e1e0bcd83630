"""The labelled sets of each text detector in one data folder, and ordinary prompts.

Only one split of the shared encoder's examples is used. If a file of these examples is missing, none of the examples
are used, because the splits would differ from those of the training. Ordinary prompts outside this split are not used
either, except `UNTRAINED`: the linear model, which scores a text before the encoder, is trained on them.

To add a labelled file, extend `READERS`. To add generated cases, extend `cases.synthetic`.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from detectors.errors import DataError
from detectors.evaluate.cases import with_question
from detectors.evaluate.cases.synthetic import synthetic_sets
from detectors.evaluate.entity_sets import BTC, PRESIDIO, WNUT_DEV, btc_parts, conll, is_held_out, social_set
from detectors.evaluate.examples import Example
from detectors.evaluate.labelled import Case, LabelledSet, OrdinaryPrompts
from detectors.evaluate.public_sets import FILES, fine_labels, public_examples
from detectors.evaluate.readers import ORDINARY, complete, halueval, ordinary_prompts, presidio
from detectors.models.multitask import TASKS

#: The seed with which the shipped weights were trained and the examples were split.
SHIPPED_SEED = 0
#: The source of `ORDINARY` on which no model is trained.
UNTRAINED = "mtbench"
#: Prefix of the name of the set that contains all sources of a split.
ALL_SOURCES = "all of the "
#: (data folder, seed of the splits) → examples of the shared encoder's tasks.
ExampleLoader = Callable[[Path, int], Sequence[Example]]
ItemT = TypeVar("ItemT")


class Datasets(msgspec.Struct, frozen=True, kw_only=True):
    """The labelled sets, the ordinary prompts, the files that were read, and the expected files that are missing."""

    sets: Sequence[LabelledSet]
    ordinary: OrdinaryPrompts
    files: Sequence[str]
    absent: Sequence[str]


class Reader(NamedTuple):
    """A labelled set of a detector: its file in the data folder, and the function that reads this file."""

    file: str
    read: Callable[[Path], LabelledSet]


def _pii(path: Path) -> LabelledSet:
    cases = [Case(text=text, spans=spans) for text, spans in presidio(path, is_held_out)]
    return LabelledSet(detector="pii", name=path.name.removesuffix(".json.gz"), cases=cases)


def _halueval_answers(path: Path, detector: str) -> LabelledSet:
    cases = [Case(text=answer, prompt=with_question(question), label=False) for question, answer in halueval(path)]
    return LabelledSet(detector=detector, name="halueval_answers", cases=cases)


#: Detector → its public sets, for detectors that do not use the shared encoder.
READERS: dict[str, tuple[Reader, ...]] = {
    "pii": (
        Reader(PRESIDIO, _pii),
        Reader("pii/presidio_generated_small.json.gz", _pii),
        Reader(WNUT_DEV, lambda path: social_set("wnut17_dev", list(conll(path)))),
        Reader(BTC, lambda path: social_set("btc_held_out", btc_parts(path)[1])),
    ),
    **{
        name: (Reader(ORDINARY["halueval_question"], partial(_halueval_answers, detector=name)),)
        for name in ("language", "repetition")
    },
}


def sample(items: Sequence[ItemT], limit: int, seed: int) -> list[ItemT]:
    """Return at most ``limit`` random items, or all items if ``limit`` is 0."""
    if not limit or len(items) <= limit:
        return list(items)
    return random.Random(seed).sample(list(items), limit)


def _of_task(
    examples: Sequence[Example], finer: Mapping[str, Mapping[str, tuple[str, ...]]], task: str, limit: int, seed: int
) -> Iterator[LabelledSet]:
    """Yield the sets of one task: first a set of all sources together, then one set per source."""
    index = TASKS.index(task)
    by_source: dict[str, list[Case]] = {}
    for example in examples:
        label = example.labels[index]
        if math.isnan(label):
            continue
        # Only toxicity has finer labels.
        kind = finer.get(example.source, {}).get(example.text) if task == "toxicity" else None
        case = Case(text=example.text, label=label == 1, groups={"type": kind} if kind else {})
        by_source.setdefault(example.source, []).append(case)
    sampled = {source: sample(cases, limit, seed) for source, cases in sorted(by_source.items())}
    together = [Case(text=case.text, label=case.label) for cases in sampled.values() for case in cases]
    if together:
        yield LabelledSet(detector=task, name=f"{ALL_SOURCES}{examples[0].split} split", cases=together)
    for source, cases in sampled.items():
        yield LabelledSet(detector=task, name=source, cases=cases)


def _ordinary(root: Path, limit: int, seed: int, held_out: frozenset[str] | None) -> OrdinaryPrompts:
    """Return at most ``limit`` ordinary prompts per source (0: all).

    Unless ``held_out`` is None, only its texts and those of `UNTRAINED` are used.
    """
    by_source: dict[str, dict[str, None]] = {}
    for source, text in ordinary_prompts(root):
        if held_out is None or source == UNTRAINED or text in held_out:
            by_source.setdefault(source, {})[text] = None
    return {name: sample(list(texts), limit, seed) for name, texts in by_source.items()}


def load_datasets(  # noqa: PLR0913 - what to read, and how much of it
    root: Path,
    names: Sequence[str],
    limit: int,
    seed: int,
    split: str = "test",
    *,
    load_examples: ExampleLoader = public_examples,
) -> Datasets:
    """Read the sets of the detectors ``names`` and ordinary prompts, at most ``limit`` texts per source (0: all).

    ``split`` selects the shared encoder's examples, which ``load_examples`` reads; the default reads only the public examples.

    Raises DataError if ``root`` is not a folder, or contains none of the expected files.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder: name the folder of the labelled sets (docs/detectors.md)")
    tasks = [name for name in names if name in TASKS]
    readers = [reader for name in names for reader in READERS.get(name, ())]
    wanted = list(dict.fromkeys([*(FILES if tasks else ()), *(reader.file for reader in readers), *ORDINARY.values()]))
    there = [file for file in wanted if (root / file).is_file()]
    if not there:
        raise DataError(
            f"{root} contains none of the {len(wanted)} known files ({', '.join(wanted[:3])}, …): name the folder of the "
            "labelled sets (docs/detectors.md), or evaluate a file of your own with --file and --columns"
        )
    sets: list[LabelledSet] = []
    held_out: frozenset[str] | None = frozenset() if tasks else None
    if tasks and set(FILES) <= set(there):
        examples, finer = load_examples(root, SHIPPED_SEED), fine_labels(root)
        learned = {example.text for example in examples if example.split == "train"}
        # Templates that all splits share generate some texts of the training split again.
        chosen = [example for example in examples if example.split == split and example.text not in learned]
        held_out = frozenset(example.text for example in chosen)
        sets += [one for task in tasks for one in _of_task(chosen, finer, task, limit, seed)]
    for reader in readers:
        if reader.file in there:
            with complete(root / reader.file):
                one = reader.read(root / reader.file)
            if not one.cases:
                raise DataError(f"{root / reader.file} contains no text to measure {one.detector} on; fetch it again")
            sets.append(msgspec.structs.replace(one, cases=sample(one.cases, limit, seed)))
    # Synthetic cases are few and balanced: all of them are read.
    sets += [one for name in names for one in synthetic_sets(name)]
    ordinary = _ordinary(root, limit, seed, held_out)
    absent = [file for file in wanted if file not in there]
    return Datasets(sets=sets, ordinary=ordinary, files=there, absent=absent)
