"""Cheap, deterministic text detectors, for tests of the code that runs detectors; importable in a spawned process."""

import os
import re
import signal
import time
from pathlib import Path
from typing import ClassVar

import msgspec

from detectors.base import Reads, Score, Span, TextDetector
from detectors.errors import NotLoadedError, UnknownDetectorError, WeightsError
from detectors.registry import TEXT
from stream.stages.score.machine import item_of
from stream.stages.score.model_process import ModelProcess, ModelSpec
from support.events import a_request

_DIGITS = re.compile(r"\d{4,}")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    seconds: float = 0.0
    seconds_each: float = 0.0
    load_seconds: float = 0.0
    killed_once: str = ""


class Double(TextDetector[Config]):
    """Flags four or more digits in a row.

    Words in a text control the detector: HANG hangs, CRASH ends its process, RAISE and ``BUG-NAME`` (its name) raise, HALF halves
    the covered share of the text. If `killed_once` names a file that does not exist, the first batch creates it and kills the process.
    """

    name: ClassVar[str] = "pii"
    version: ClassVar[str] = "test-1"
    config_type: ClassVar[type[msgspec.Struct]] = Config

    def __init__(self, config=None, name="pii"):
        super().__init__(config)
        self.name = name
        self.reads = TEXT[name].reads if name in TEXT else Reads.JOINED
        self._loaded = False

    def load(self):
        time.sleep(self.config.load_seconds)
        self._loaded = True

    def score_many(self, texts):
        if not self._loaded:
            raise NotLoadedError("score before load")
        if delay := self.config.seconds + self.config.seconds_each * len(texts):
            time.sleep(delay)
        if self.config.killed_once and not Path(self.config.killed_once).exists():
            Path(self.config.killed_once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [self._score(text) for text in texts]

    def _score(self, text):
        if "HANG" in text:
            time.sleep(3600)
        if "CRASH" in text:
            os._exit(9)
        if "RAISE" in text or f"BUG-{self.name}" in text:
            raise ValueError(text)
        spans = tuple(
            Span(start=match.start(), end=match.end(), type="PHONE_NUMBER", score=0.9)
            for match in _DIGITS.finditer(text)
        )
        covered = 0.5 if "HALF" in text else 1.0
        score = 0.9 if spans else 0.1
        return Score(
            score=score, label="found" if spans else "clear", flagged=bool(spans), covered=covered, spans=spans
        )


def create(name, options=None):
    if name == "unheard-of":
        raise UnknownDetectorError(name)
    return Double(Config(**(options or {})), name)


class Mended(Double):
    """The same detector and version in a later release, which does not raise on RAISE."""

    def _score(self, text):
        return super()._score(text.replace("RAISE", ""))


def create_mended(name, options=None):
    return Mended(Config(**(options or {})), name)


def create_broken(name, options=None):
    detector = create(name, options)

    def load():
        raise WeightsError("not there")

    detector.load = load
    return detector


DOUBLES = ModelSpec(threads=1, detectors=("pii", "toxicity", "injection", "refusal"), create=create, embedder=None)


def asked(*messages, detectors=("pii",)):
    """Return the item of a request."""
    return item_of(a_request("r1", messages=messages), detectors)


def scored(detector, *items):
    """Return the scores of `items`, computed in this process."""
    process = ModelProcess(ModelSpec(threads=1, detectors=("pii",), create=lambda *_: detector, embedder=None))
    process.load()
    return [one.scores["pii"] for one in process.score(items)]
