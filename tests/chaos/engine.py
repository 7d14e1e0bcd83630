"""The detectors of the lab's model processes: they load at once, and their scores depend only on the text.

The real detectors take seconds to load, too long for a hundred kills; F19 uses a real one. Pool, batches, outputs and ids are the
product's.
"""

import hashlib
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np

from detectors.base import Score, Span, TextDetector
from detectors.errors import UnknownDetectorError
from stream.stages.score.model_process import ModelSpec

DETECTORS = ("pii", "toxicity")
_PATTERNS = {
    "pii": (re.compile(r"[\w.]+@[\w.]+\.\w+|\b\d{4}(?: ?\d{4}){3}\b"), "EMAIL_ADDRESS"),
    "toxicity": (re.compile(r"\b(?:idiots?|scum|worthless)\b"), "TOXIC"),
}
#: A text with this word keeps its process busy, so that other processes overtake it.
SLOW_WORD = "ponder"
_SLOW_SECONDS = 0.4
_DIMENSIONS = 384


class _Config(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Words(TextDetector[_Config]):
    """A detector that flags the matches of a regular expression."""

    name: ClassVar[str] = "pii"
    version: ClassVar[str] = "chaos-1"
    config_type: ClassVar[type[msgspec.Struct]] = _Config

    def __init__(self, name: str = "pii", *, wait: bool = True) -> None:
        if name not in _PATTERNS:
            raise UnknownDetectorError(f"the lab has no detector {name!r}: it has {', '.join(_PATTERNS)}")
        super().__init__(_Config())
        self.name = name  # type: ignore[misc]  # one class for both
        self._wait = wait

    def load(self) -> None:
        """Do nothing: the detector has no files."""

    def score_many(self, texts: Sequence[str]) -> list[Score]:
        if self._wait and self.name == "pii":
            _ponder(texts)
        return [self._score(text) for text in texts]

    def _score(self, text: str) -> Score:
        pattern, kind = _PATTERNS[self.name]
        spans = tuple(Span(start=m.start(), end=m.end(), type=kind, score=0.9) for m in pattern.finditer(text))
        return Score(score=0.9 if spans else 0.1, label=self.name if spans else "ok", flagged=bool(spans), spans=spans)


class Embedding:
    """Embeds a text as a direction of its second word (the subject) plus a shorter direction of the text."""

    version = "chaos-1"

    def load(self) -> None:
        pass

    def embed_many(self, texts: Sequence[str]) -> Any:
        rows = [_unit((text.split() * 2)[1]) + 0.3 * _unit(text) for text in texts]
        return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)


def _unit(text: str) -> Any:
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
    vector = np.random.default_rng(seed).normal(size=_DIMENSIONS)
    return vector / np.linalg.norm(vector)


def slow_file(home: Path) -> Path:
    """Return the path of the file with the additional seconds per text; without the file, there is no delay."""
    return home / "slow"


def _ponder(texts: Sequence[str]) -> None:
    seconds = sum(_SLOW_SECONDS for text in texts if SLOW_WORD in text)
    home = os.environ.get("WEIR_HOME")
    if home and (path := slow_file(Path(home))).exists():
        seconds += float(path.read_text() or 0) * len(texts)
    if seconds:
        time.sleep(seconds)


def create(name: str, options: Any = None) -> TextDetector[Any]:
    return Words(name)


def make_embedding(threads: int) -> Embedding:
    return Embedding()


SPEC = ModelSpec(threads=1, detectors=DETECTORS, create=create, embedder=make_embedding)
