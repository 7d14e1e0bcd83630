"""A scan for texts of an evaluation set in the training data: the share of texts with a common run of eight words."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from detectors.evaluate.cases.synthetic import identity_cases, refusal_cases
from detectors.evaluate.readers import ordinary_prompts, read_lines
from detectors.train.mixes import load_examples

#: Length of a run of words that counts as overlap (as in Brown et al., arXiv 2005.14165, with shorter runs).
WORDS = 8
_WORD = re.compile(r"\w+")


def _runs(text: str) -> set[int]:
    words = _WORD.findall(text.lower())
    return {hash(tuple(words[at : at + WORDS])) for at in range(len(words) - WORDS + 1)}


def overlapping(training: Iterable[str], evaluation: Sequence[str]) -> list[int]:
    """Return the indices of the evaluation texts that share a run of `WORDS` words with a training text."""
    found = [_runs(text) for text in evaluation]
    wanted = set().union(*found)
    seen = {run for text in training for run in _runs(text) & wanted}
    return [index for index, runs in enumerate(found) if runs & seen]


def case_texts(row: Mapping[str, Any]) -> list[str]:
    """Return the texts of a line of cases, which is one case or has a list of them in its field ``cases``."""
    return [case.get("text") or case["answer"] for case in row.get("cases", [row])]


def scan(data: Path, cases: Path | None, seed: int) -> Iterator[tuple[str, int, int]]:
    """Yield (evaluation set, texts, texts that share a run of `WORDS` words with a training text of the shared encoder).

    The sets are the sources of the tune and test splits, ordinary prompts that were not trained on, this project's own
    cases, and the JSON lines in the folder ``cases``: field ``text`` or ``answer``, or a list ``cases`` of objects with these fields.
    """
    examples = load_examples(data, seed)
    training = [example.text for example in examples if example.split == "train"]
    sets: dict[str, list[str]] = defaultdict(list)
    for example in examples:
        if example.split != "train":
            sets[example.source].append(example.text)
    known = {example.text for example in examples}
    for source, text in ordinary_prompts(data):
        if text not in known:
            sets[f"{source} (not trained on)"].append(text)
    sets["own refusal cases"] = [case.text for case in refusal_cases()]
    sets["own identity cases"] = [case.text for case in identity_cases()]
    for path in sorted(cases.glob("*.jsonl")) if cases else ():
        sets[path.name] = [text for row in read_lines(path) for text in case_texts(row)]
    found = overlapping(training, [text for texts in sets.values() for text in texts])
    names = [name for name, texts in sets.items() for _ in texts]
    counts = Counter(names[index] for index in found)
    yield from ((name, len(texts), counts[name]) for name, texts in sets.items())
