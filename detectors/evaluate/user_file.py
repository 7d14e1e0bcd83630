"""Reading of a user's labelled data by named columns: CSV, TSV, JSON or JSON lines, optionally gzipped, or a folder.

A folder is a data set in Hugging Face's format: files that `datasets.load_dataset` reads, or the result of `save_to_disk`.
"""

import csv
import gzip
import io
import json
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from detectors.base import Span, Turn
from detectors.errors import DataError
from detectors.evaluate.labelled import Case
from detectors.normalise.unicode import without_surrogates

ROLES = ("text", "prompt", "label", "spans", "functionality", "type")
GROUPS = ("functionality", "type")
YES, NO = frozenset({"1", "1.0", "true", "yes"}), frozenset({"0", "0.0", "false", "no"})
#: Names of a span's fields in presidio-research, spaCy and others.
FIELDS = {
    "start": ("start", "start_position"),
    "end": ("end", "end_position"),
    "type": ("type", "entity_type", "label"),
}
SHOWN = 8
_QUOTES = 'write a field that begins with a double quote in double quotes, and each double quote inside it twice ("")'


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """The name of the column with each kind of content; empty if the file has no such column."""

    #: The text to score.
    text: str
    #: The prompt that the text answers: a question, or a list of ``{"role", "content"}``.
    prompt: str = ""
    #: Whether the text should be flagged: 1/0, true/false, yes/no, or other values with ``positive`` in `read_cases`.
    label: str = ""
    #: Personal data in the text: a list of ``{"start", "end", "type"}``, in a CSV file as JSON.
    spans: str = ""
    #: Groups for tables with a row per value; a text with a list of values is in the row of each value.
    functionality: str = ""
    type: str = ""


def parse_columns(value: str) -> Columns:
    """Parse ``text=COLUMN,label=COLUMN,…``.

    Raises DataError if a part is not ``role=column``, if a role is unknown or repeated, if ``text`` is missing, or if
    both ``label`` and ``spans`` are missing.
    """
    example = "for example text=comment,label=toxic"
    found: dict[str, str] = {}
    for part in value.split(","):
        role, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column:
            raise DataError(f"columns: {part!r} is not a role=column; {example}")
        if role not in ROLES:
            raise DataError(f"columns: {role!r} is not a role; the roles are {', '.join(ROLES)}; {example}")
        if role in found:
            raise DataError(f"columns: {role} is both {found[role]!r} and {column!r}; name one column for it")
        found[role] = column
    if "text" not in found:
        raise DataError(f"columns: {value!r} names no text; {example}")
    if not found.keys() & {"label", "spans"}:
        raise DataError(
            f"columns: {value!r} names neither label nor spans: name one of them to compare with; {example}"
        )
    return Columns(**found)


def _lines(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}: line {number} is not JSON ({error}); correct or remove it") from error


def _array(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}); a file of JSON lines is named .jsonl") from error
    if not isinstance(value, list):
        raise DataError(
            f"{path} contains a JSON {type(value).__name__}; expected a list of objects, or JSON lines named .jsonl"
        )
    yield from enumerate(value, 1)


def _table(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(1 << 24)
    number = 0
    try:
        for number, row in enumerate(
            csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), 1
        ):
            if None in row:
                raise DataError(
                    f"{path}: row {number} has {len(row) - 1 + len(row[None])} fields, the header {len(row) - 1}: write a "
                    f"field that contains {delimiter!r} in double quotes"
                )
            if delimiter == "\t" and any("\t" in field and "\n" in field for field in row.values() if field):
                raise DataError(
                    f"{path}: row {number} has a field with a tab and a line break, so a double quote probably begins a text: {_QUOTES}"
                )
            yield number, row
    except csv.Error as error:
        raise DataError(f"{path}: row {number + 1} is not CSV ({error}): {_QUOTES}") from error


def _split_of(path: Path, splits: dict[str, Any], name: str) -> Any:
    name = name or ("test" if "test" in splits else next(iter(splits)))
    if name not in splits:
        raise DataError(f"{path} has no split {name!r}; its splits are {', '.join(splits)}")
    return splits[name]


def _folder(path: Path, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a split of a data set; the values of a `ClassLabel` column are its names, or None without a label."""
    try:
        import datasets  # noqa: PLC0415 - the import takes seconds, and only folders need it
    except ModuleNotFoundError as error:
        raise DataError(f"{path} is a folder, which needs the package datasets: install weir-llm[eval]") from error
    saved = any((path / name).is_file() for name in ("dataset_dict.json", "dataset_info.json", "state.json"))
    try:
        with tempfile.TemporaryDirectory() as cache:
            found = datasets.load_from_disk(str(path)) if saved else datasets.load_dataset(str(path), cache_dir=cache)
            # A set that was saved alone may not know its split; Hugging Face names such a split "train".
            splits = found if isinstance(found, dict) else {str(found.split or "train"): found}
            found = _split_of(path, splits, split)
            names = {
                column: dict(enumerate(feature.names))
                for column, feature in found.features.items()
                if isinstance(feature, datasets.ClassLabel)
            }
            for number, row in enumerate(found, 1):
                yield number, row | {column: known.get(row[column]) for column, known in names.items()}
    except DataError:
        raise
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:  # RuntimeError: a script
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise DataError(
            f"cannot read the data set in {path}: {reason}; name one of its files, or another folder, with --file"
        ) from error


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number from 1, row) for each row of a file."""
    kinds = [suffix.lower() for suffix in path.suffixes]
    packed = kinds[-1:] == [".gz"]
    kind = (kinds[:-1] if packed else kinds)[-1:]
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if packed else data).decode("utf-8-sig")
    except EOFError as error:
        raise DataError(f"{path} ends within its gzip data; fetch it again") from error
    except zlib.error as error:
        raise DataError(f"{path} has damaged gzip data ({error}); fetch it again") from error
    except OSError as error:  # also a file that is not gzip
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8; convert the file, for example with iconv") from error
    if kind in ([".csv"], [".tsv"]):
        rows = _table(path, text, "," if kind == [".csv"] else "\t")
    elif kind in ([".jsonl"], [".ndjson"]):
        rows = _lines(path, text)
    elif kind == [".json"]:
        rows = _array(path, text)
    else:
        raise DataError(
            f"{path} ends in {''.join(kinds) or 'nothing'}; expected .csv, .tsv, .json or .jsonl, or one of them with .gz"
        )
    for number, row in rows:
        if not isinstance(row, dict):
            raise DataError(f"{path}: row {number} is {type(row).__name__}; expected an object with named fields")
        yield number, row


def _word(value: Any) -> str:
    word = without_surrogates(str(value)).strip()
    return word.lower() if isinstance(value, bool) else word


def _prompt(value: Any, location: str) -> tuple[Turn, ...]:
    """Return the messages of a prompt: a string is one user message, a list is a chat."""
    if value is None or isinstance(value, str):
        return (Turn(role="user", content=value),) if value else ()
    try:
        return msgspec.convert(value, tuple[Turn, ...])
    except msgspec.ValidationError as error:
        raise DataError(
            f'{location} has the prompt {str(value)[:80]!r}; expected a string, or a list of {{"role", "content"}}'
        ) from error


def _spans(value: Any, text: str, location: str) -> tuple[Span, ...]:
    """Return the spans of one row; raise DataError if a span is invalid or outside the text."""
    try:
        items = json.loads(value or "[]") if isinstance(value, str) else value
        spans = []
        for item in items or ():
            given = {field: next(item[name] for name in names if name in item) for field, names in FIELDS.items()}
            spans.append(Span(start=int(given["start"]), end=int(given["end"]), type=_word(given["type"]), score=1.0))
    except (ValueError, TypeError, KeyError, StopIteration, OverflowError, RecursionError) as error:
        raise DataError(
            f'{location} has spans {str(value)[:80]!r}; expected a list of objects {{"start", "end", "type"}}'
        ) from error
    for span in spans:
        if not 0 <= span.start < span.end <= len(text):
            raise DataError(
                f"{location} has a span {span.start} to {span.end} in a text of {len(text)} characters; expected "
                "0 <= start < end <= length, in characters, end exclusive"
            )
    return tuple(spans)


def _groups(row: dict[str, Any], columns: Columns) -> dict[str, tuple[str, ...]]:
    groups: dict[str, tuple[str, ...]] = {}
    for role in GROUPS:
        column = getattr(columns, role)
        if column:
            value = row[column]
            groups[role] = tuple(map(_word, value)) if isinstance(value, list) else (_word(value),)
    return groups


def _label(word: str, location: str, positive: Sequence[str]) -> bool:
    if positive:
        return word in positive
    if word.lower() in YES | NO:
        return word.lower() in YES
    raise DataError(
        f"{location} has the label {word!r}; without --positive a label is 1 or 0, true or false, yes or no: name the "
        f"labels that should be flagged, for example --positive {word or 'hateful'}"
    )


def read_cases(path: Path, columns: Columns, positive: Sequence[str] = (), split: str = "") -> list[Case]:
    """Read a labelled file, or a folder with a data set.

    Parameters
    ----------
    path
        File with suffix ``.csv``, ``.tsv``, ``.json`` (a list of objects) or ``.jsonl``, optionally with ``.gz`` added; or a
        folder in Hugging Face's format.
    columns
        The names of the columns.
    positive
        The labels that should be flagged; empty if labels are 1/0, true/false or yes/no.
    split
        The split of a folder; empty for ``test``, or for the first split if there is no ``test``.

    Raises DataError if the file cannot be read, if ``split`` is given for a file, if a column is missing, or if the text,
    label or spans of a row are invalid.
    """
    if split and path.is_file():
        raise DataError(
            f"{path} is a file, so it has no split {split!r}: leave --split out, or name the data set's folder"
        )
    cases: list[Case] = []
    seen: set[str] = set()
    wanted = {role: column for role in ROLES if (column := getattr(columns, role))}
    for number, row in _folder(path, split) if path.is_dir() else _rows(path):
        location = f"{path}: row {number}"
        for role, column in wanted.items():
            if column not in row:
                names = ", ".join(map(repr, list(row)[:SHOWN]))
                raise DataError(
                    f"{location} has no column {column!r} ({role}); its columns are {names}: name one of them with --columns {role}=COLUMN,…"
                )
        text = row[columns.text]
        if not isinstance(text, str):
            raise DataError(f"{location} has the text {text!r} in column {columns.text!r}; expected a string")
        label = None
        if columns.label:
            value = row[columns.label]
            word = _word(value)
            if value is None or value != value or not word:  # noqa: PLR0124 - NaN, as pandas writes a missing label
                raise DataError(
                    f"{location} has no label in column {columns.label!r}: remove the row, or write a label"
                )
            seen.add(word)
            label = _label(word, location, positive)
        spans = _spans(row[columns.spans], text, location) if columns.spans else None
        prompt = _prompt(row[columns.prompt], location) if columns.prompt else ()
        cases.append(Case(text=text, prompt=prompt, label=label, spans=spans, groups=_groups(row, columns)))
    never = [word for word in positive if word not in seen]
    if columns.label and cases and never:
        some = ", ".join(map(repr, sorted(seen)[:SHOWN]))
        raise DataError(f"{path}: no row has the label {never[0]!r} (--positive); its labels are {some}")
    if not cases:
        raise DataError(f"{path} has no rows; expected at least one")
    return cases
