"""Functions that read the public data files in the data folder that docs/detectors.md describes."""

import csv
import gzip
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from detectors.base import Span
from detectors.errors import DataError

CLINC = "drift/clinc_data_full.json.gz"
HALUEVAL = "hallucination/halueval_general.jsonl.gz"
MTBENCH = "traffic/mtbench_prompts.jsonl"
T0 = "ordinary/t0_tasks_half.jsonl.gz"
#: Source of ordinary prompts → its file. MT-Bench is not used for training.
ORDINARY = {"mtbench": MTBENCH, "clinc": CLINC, "halueval_question": HALUEVAL}

Groups = dict[str, list[str]]


@contextmanager
def complete(path: Path) -> Iterator[None]:
    """Raise DataError if the file is damaged or truncated, for example after an interrupted download, or has another format."""
    try:
        yield
    except DataError:
        raise
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} has another format ({type(error).__name__}: {error}); docs/detectors.md names the file and its source"
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile, csv.Error, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}); fetch it again") from error


def read_json(path: Path) -> Any:
    """Return the content of a gzipped JSON file."""
    with complete(path):
        return json.loads(gzip.decompress(path.read_bytes()).decode("utf-8-sig"))


def read_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a file of JSON lines, gzipped or not."""
    with (
        complete(path),
        gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file,
    ):
        yield from map(json.loads, file)


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a gzipped CSV file."""
    csv.field_size_limit(1 << 24)
    with complete(path), gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def clinc(path: Path) -> Iterator[str]:
    """Yield the texts of all CLINC splits, including texts that are out of scope."""
    for name, pairs in read_json(path).items():
        if name in {"train", "val", "test", "oos_train", "oos_test"}:
            yield from (text for text, _ in pairs)


def clinc_domains(root: Path) -> Groups:
    """Return CLINC's training texts by domain."""
    domains: Groups = read_json(root / "drift/clinc_domains.json.gz")
    domain_of = {intent: name for name, intents in domains.items() for intent in intents}
    groups: Groups = {name: [] for name in domains}
    for text, intent in read_json(root / CLINC)["train"]:
        groups[domain_of[intent]].append(text)
    return groups


def t0_tasks(root: Path) -> Groups:
    """Return the prompts of T0 by task."""
    groups: Groups = defaultdict(list)
    for row in read_lines(root / T0):
        groups[row["template"]].append(row["prompt"])
    return groups


def halueval(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (question, ChatGPT's answer) for each row of HaluEval."""
    for row in read_lines(path):
        yield row["user_query"], row["chatgpt_response"]


def mtbench(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield (category, user messages) for each conversation of MT-Bench."""
    for row in read_lines(path):
        yield row.get("category", ""), row["turns"]


def ordinary_prompts(root: Path) -> list[tuple[str, str]]:
    """Return (source, text) of the ordinary prompts; a source of `ORDINARY` whose file is missing is omitted."""
    readers: dict[str, Callable[[Path], Iterable[str]]] = {
        "mtbench": lambda path: [turn for _, turns in mtbench(path) for turn in turns],
        "clinc": clinc,
        "halueval_question": lambda path: [question for question, _ in halueval(path)],
    }
    there = {source: root / file for source, file in ORDINARY.items() if (root / file).exists()}
    found: list[tuple[str, str]] = []
    for source, path in there.items():
        with complete(path):
            found += [(source, text) for text in readers[source](path)]
    return found


def presidio(path: Path, keep: Callable[[str], bool] = bool) -> list[tuple[str, tuple[Span, ...]]]:
    """Return the texts of a file in the format of presidio-research, with their labelled spans.

    ``keep`` is called with a text's template and returns whether the text is read. A record without a template is
    always read.
    """
    return [
        (
            record["full_text"],
            tuple(
                Span(start=s["start_position"], end=s["end_position"], type=s["entity_type"], score=1.0)
                for s in record["spans"]
            ),
        )
        for record in read_json(path)
        if "masked" not in record or keep(record["masked"])
    ]
