"""Run detectors over lines of text in this process, for ``weir score``."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from detectors.base import Score, Span, TextDetector, Turn
from detectors.normalise.unicode import without_surrogates
from detectors.registry import create_text

_BATCH = 32
#: Digits of the largest line number; a longer id, such as a time in milliseconds, is not a line number.
_LINE_DIGITS = 12


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A text to score and, if given, the prompt that it answers."""

    id: str | int
    text: str
    prompt: tuple[Turn, ...] = ()


class BadLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that cannot be read, with its number from 1 and the reason."""

    line: int
    id: str | int
    error: str


def load_detectors(names: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> list[TextDetector[Any]]:
    """Build the detectors and load their weights; raises DetectorError."""
    found = [create_text(name, options.get(name)) for name in names]
    for detector in found:
        detector.load()
    return found


def read_items(lines: Iterable[bytes]) -> Iterator[Item | BadLine]:
    """Read JSON lines ``{"id", "text", "prompt"}`` or, if the first line that is not blank does not begin with ``{``, plain lines.

    A line without an id gets its line number as id. Blank lines are skipped. ``prompt`` is a string or a list of ``{"role", "content"}``.
    """
    as_json: bool | None = None
    numbers = _LineNumbers()
    for number, raw in enumerate(lines, 1):
        try:
            line = raw.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield BadLine(line=number, id=str(number), error=f"byte {error.start} is not UTF-8")
            continue
        if not line.strip():
            continue
        if as_json is None:
            line = line.removeprefix("\ufeff")
            as_json = line.lstrip().startswith("{")
        yield _from_json(number, line, numbers) if as_json else Item(id=str(number), text=line)


class _LineNumbers:
    """Finds ids that are given and are also the number of a line without id.

    Memory: one byte per line, and each given id that is the number of a later line.
    """

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._without_id = bytearray()

    def add(self, line: int) -> bool:
        """Add the number of a line without id; return whether an earlier line gave it as its id."""
        if str(line) in self._given:
            return True
        self._without_id.extend(bytes(line - len(self._without_id)) + b"\1")
        return False

    def give(self, name: str, line: int) -> bool:
        """Add the id of a line; return whether it is the number of an earlier line without id."""
        if len(name) > _LINE_DIGITS or not name.isascii() or not name.isdigit() or name.startswith("0"):
            return False
        number = int(name)
        if number > line:
            self._given.add(name)
        return number < len(self._without_id) and bool(self._without_id[number])


def _from_json(number: int, line: str, numbers: _LineNumbers) -> Item | BadLine:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "it cannot be parsed"
        return BadLine(line=number, id=str(number), error=f"invalid JSON: {reason}")
    name = value.get("id", str(number)) if isinstance(value, dict) else str(number)
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        name = name if _is_id(name) else str(number)
        return BadLine(line=number, id=name, error='expected an object {"id": …, "text": "…"} whose text is a string')
    if not _is_id(name):
        return BadLine(
            line=number, id=str(number), error="id is neither a string nor an integer, or has half a surrogate pair"
        )
    if numbers.give(str(name), number) if "id" in value else numbers.add(number):
        reason = (
            f"the id {name!r} is given, and is also the number of a line without id; give every line an id, or none"
        )
        return BadLine(line=number, id=name, error=reason)
    try:
        return Item(id=name, text=value["text"], prompt=_prompt(value.get("prompt")))
    except msgspec.ValidationError:
        return BadLine(
            line=number, id=name, error='prompt is neither a string nor a list of {"role": "…", "content": "…"}'
        )


def _is_id(value: object) -> bool:
    """Return whether `value` is a string that can be printed as JSON, or an integer."""
    if isinstance(value, str):
        return without_surrogates(value) == value
    return isinstance(value, int) and not isinstance(value, bool)


def _prompt(value: object) -> tuple[Turn, ...]:
    if value is None or isinstance(value, str):
        return (Turn(role="user", content=value),) if value else ()
    return msgspec.convert(value, tuple[Turn, ...])


def score_items(
    items: Iterable[Item | BadLine], detectors: Sequence[TextDetector[Any]]
) -> Iterator[tuple[Item | BadLine, dict[str, Any]]]:
    """Yield each item with its result, in the order of `items`."""
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        given = [item for item in batch if isinstance(item, Item)]
        texts, prompts = [item.text for item in given], [item.prompt for item in given]
        scores = [detector.score_answers(texts, prompts) if texts else [] for detector in detectors]
        rows = iter(zip(*scores, strict=True))
        for item in batch:
            if isinstance(item, BadLine):
                yield item, {"id": item.id, "verdicts": [], "line": item.line, "error": item.error}
            else:
                scored = zip(detectors, next(rows), strict=True)
                yield item, {"id": item.id, "verdicts": [_verdict(detector, score) for detector, score in scored]}


def _verdict(detector: TextDetector[Any], score: Score) -> dict[str, Any]:
    return {
        "detector": detector.name,
        "version": detector.version,
        "flagged": score.flagged,
        "label": score.label,
        "score": score.score,
        "covered": score.covered,
        "spans": [_span(span) for span in score.spans],
    }


def _span(span: Span) -> dict[str, Any]:
    """Return the fields of a span; `part` only if the span is in a message of the prompt."""
    found = msgspec.structs.asdict(span)
    return found if span.part else {name: value for name, value in found.items() if name != "part"}
