"""The text on which a smaller version is distilled and measured.

Without a file, the text is the language reference in Python's standard library (:mod:`pydoc_data.topics`, PSF licence), which every machine has
without a download. Each release of Python has its own text, so the text's digest is recorded.
"""

import hashlib
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from stream.loop.training.errors import TrainingError

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_CHARACTERS = 600
#: A passage of fewer characters is a heading or an example.
_LEAST_CHARACTERS = 200
_HELD_OUT = 10
_LEAST_PASSAGES = 20


class Passage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A prompt and the text that answers it."""

    prompt: _Text
    completion: _Text

    @property
    def name(self) -> str:
        """The SHA-256 of both texts."""
        return hashlib.sha256(f"{self.prompt}\0{self.completion}".encode()).hexdigest()


def load_passages(file: Path | None = None) -> list[Passage]:
    """Return the passages of a JSON Lines file with ``prompt`` and ``completion``, or the built-in passages.

    Raises TrainingError if the file cannot be read or has fewer than 20 passages.
    """
    found = list(_built_in() if file is None else _read(file))
    if len(found) < _LEAST_PASSAGES:
        raise TrainingError(
            f"{file} has {len(found)} passages, and at least {_LEAST_PASSAGES} are needed; add passages"
        )
    return found


def split(passages: Sequence[Passage]) -> tuple[list[Passage], list[Passage]]:
    """Return (passages to distil on, held-out passages); one tenth is held out, chosen by the digests and ordered by them."""
    ordered = sorted(passages, key=lambda passage: passage.name)
    count = max(1, len(ordered) // _HELD_OUT)
    return ordered[count:], ordered[:count]


def passages_digest(passages: Sequence[Passage]) -> str:
    """Return the SHA-256 of all passages, independent of their order."""
    return hashlib.sha256("\n".join(sorted(passage.name for passage in passages)).encode()).hexdigest()


def _read(file: Path) -> Iterator[Passage]:
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise TrainingError(f"{file} cannot be read ({error.strerror}); give --text a JSON Lines file") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield msgspec.json.decode(line, type=Passage)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise TrainingError(f"{file}, line {number}: {error}; write prompt and completion") from error


def _built_in() -> Iterator[Passage]:
    """Yield the paragraphs of each topic, joined to at most `_CHARACTERS`."""
    try:
        topics = importlib.import_module("pydoc_data.topics").topics
    except ModuleNotFoundError as error:
        raise TrainingError("this Python has no pydoc_data.topics; give passages with --text FILE") from error
    for name, text in sorted(topics.items()):
        for part in _parts(text.split("\n\n")):
            yield Passage(prompt=f"What does the Python reference say about {name}?", completion=part)


def _parts(paragraphs: Sequence[str]) -> Iterator[str]:
    part = ""
    for paragraph in (" ".join(one.split()) for one in paragraphs):
        if part and len(part) + len(paragraph) > _CHARACTERS:
            if len(part) >= _LEAST_CHARACTERS:
                yield part
            part = ""
        part = f"{part} {paragraph}".strip()[:_CHARACTERS]
    if len(part) >= _LEAST_CHARACTERS:
        yield part
