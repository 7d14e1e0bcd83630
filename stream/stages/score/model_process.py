"""A model process: the detectors and the embedding, loaded once, and the functions that the pool calls in it.

Importing this module is cheap, because detectors import their libraries in ``load()``.
"""

import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from detectors.base import TextDetector
from detectors.errors import DetectorError
from detectors.models.compute import Compute
from detectors.models.embedding import Embedder, pack
from detectors.registry import create_text
from detectors.text.explain import Answer, Question, answer
from stream.stages.score.event_parts import EventScore, Item, combined, readings

_PR_SET_PDEATHSIG = 1
_log = logging.getLogger(__name__)

DetectorFactory = Callable[[str, Mapping[str, object] | None], TextDetector[Any]]


def make_embedder(threads: int, compute: Compute = Compute()) -> Embedder:  # noqa: B008 - it is immutable
    """Return the embedding model for drift detection, with fixed weights and `threads` threads."""
    return Embedder(threads=threads, precision=compute.precision, device=compute.device)


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The models that a model process loads; the struct is pickled and sent to the process.

    `detectors` are loaded at the start; any other detector is loaded for the first event that expects it. `create` builds a detector by name and must
    be importable in the process. `embedder` is None if no event is sampled. `threads` is the number of threads.
    """

    detectors: tuple[str, ...]
    options: dict[str, dict[str, Any]] = {}
    threads: int
    create: DetectorFactory = create_text
    embedder: Callable[[int], Embedder] | None = make_embedder


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an item.

    `scores`, `versions` and `spent` have detectors as keys; detectors that this process does not have are absent. `spent` is (begin, end) of the
    detector's work on the batch, in nanoseconds since the epoch. `embeddings` are packed into bytes, by part group. `error` is the class of the
    exception that a detector raised, or ""; that detector is absent too.
    """

    scores: dict[str, EventScore] = {}
    versions: dict[str, str] = {}
    spent: dict[str, tuple[int, int]] = {}
    embeddings: dict[str, bytes] = {}
    embedding_version: str = ""
    error: str = ""


class ModelProcess:
    """The loaded models of one process."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._detectors: dict[str, TextDetector[Any] | None] = {}
        self._embedder: Embedder | None = None

    def load(self) -> None:
        """Load the detectors and the embedding of the spec."""
        self._embedder = self._spec.embedder(self._spec.threads) if self._spec.embedder else None
        if self._embedder is not None:
            self._embedder.load()
        for name in self._spec.detectors:
            self._detectors[name] = detector = self._spec.create(name, self._spec.options.get(name))
            detector.load()

    def score(self, items: Sequence[Item]) -> list[Scored]:
        """Score a batch with all detectors in one call, so that an encoder of several detectors runs only once.

        Raises the error of a detector, so that the pool finds the item; if the item is alone, the other detectors score it.
        """
        scores: list[dict[str, EventScore]] = [{} for _ in items]
        versions: dict[str, str] = {}
        spent: dict[str, tuple[int, int]] = {}
        failure = ""
        for name in sorted({name for item in items for name in item.detectors}):
            detector = self._detector(name)
            if detector is None:
                continue
            rows = [row for row, item in enumerate(items) if name in item.detectors]
            began = time.time_ns()
            try:
                results = _scored(detector, [items[row] for row in rows])
            except Exception as error:
                if len(items) > 1:
                    raise
                _log.warning("detector %s failed: %s", name, type(error).__name__)
                failure = type(error).__name__
                continue
            for row, result in zip(rows, results, strict=True):
                scores[row][name] = result
            versions[name], spent[name] = detector.version, (began, time.time_ns())
        embeddings = self._embed(items)
        version = self._embedder.version if self._embedder is not None else ""
        return [
            Scored(
                scores=scores[row],
                versions={name: versions[name] for name in scores[row]},
                spent={name: spent[name] for name in scores[row]},
                embeddings=embeddings.get(row, {}),
                embedding_version=version if row in embeddings else "",
                error=failure,
            )
            for row in range(len(items))
        ]

    def answer_question(self, name: str, question: Question) -> Answer:
        """Return the scores of detector `name` for the texts in `question`, which are variants of one text."""
        detector = self._detector(name)
        assert detector is not None
        return answer(detector, question)

    def _detector(self, name: str) -> TextDetector[Any] | None:
        if name not in self._detectors:
            try:
                detector = self._spec.create(name, self._spec.options.get(name))
                detector.load()
            except DetectorError as error:
                _log.warning("detector %s is expected and not available here: %s", name, error)
                self._detectors[name] = None
            else:
                self._detectors[name] = detector
        return self._detectors[name]

    def _embed(self, items: Sequence[Item]) -> dict[int, dict[str, bytes]]:
        texts = [(row, part, text) for row, item in enumerate(items) for part, text in item.embed.items()]
        if self._embedder is None or not texts:
            return {}
        found: dict[int, dict[str, bytes]] = {}
        vectors = self._embedder.embed_many([text for _, _, text in texts])
        for (row, part, _), vector in zip(texts, vectors, strict=True):
            found.setdefault(row, {})[part] = pack(vector)
        return found


def _scored(detector: TextDetector[Any], items: Sequence[Item]) -> list[EventScore]:
    """Score the texts of all items in one call; a text that occurs several times is scored once."""
    read = [readings(item, detector) for item in items]
    contexts = [item.prompt_for(detector) for item in items]
    texts = [
        [(one.text, one.context or context) for one in found]
        for (found, _), context in zip(read, contexts, strict=True)
    ]
    unique = list(dict.fromkeys(text for found in texts for text in found))
    results = detector.score_answers(*zip(*unique, strict=True)) if unique else []
    score_of = dict(zip(unique, results, strict=True))
    return [
        combined(found, [score_of[text] for text in of_item], share)
        for (found, share), of_item in zip(read, texts, strict=True)
    ]


_process: ModelProcess | None = None


def load_models(spec: ModelSpec) -> None:
    """Set up this process: load the models, end if the parent ends, ignore Ctrl-C (the parent handles Ctrl-C)."""
    global _process  # noqa: PLW0603 - a pool's initializer has no other way to pass something to its tasks
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    _process = ModelProcess(spec)
    _process.load()


def _loaded() -> ModelProcess:
    if _process is None:
        raise RuntimeError("this process has no models: it calls load_models first")
    return _process


def ready() -> int:
    """Return the process id when the models are loaded."""
    _loaded()
    return os.getpid()


def score(items: Sequence[Item]) -> list[Scored]:
    """Score a batch in this process."""
    return _loaded().score(items)


def answer_question(name: str, question: Question) -> Answer:
    """Return the scores of the detector `name` for the texts of `question`, computed in this process."""
    return _loaded().answer_question(name, question)


def _die_with_parent() -> None:
    """Let the kernel kill this process with its parent; otherwise a hung detector would survive a killed worker."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
