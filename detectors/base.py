"""Text detectors, which are pure, and stream detectors, which learn one bucket at a time; the capabilities that both declare.

A detector has no clock, no settings and no client: time and identity are arguments, so every stage runs it by this interface alone.
"""

import abc
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

import msgspec

__all__ = [
    "ERROR",
    "OK",
    "AlertText",
    "ConfigT",
    "Detector",
    "Finding",
    "Observation",
    "Score",
    "Span",
    "StreamDetector",
    "TextDetector",
    "Turn",
    "label_of",
]

ConfigT = TypeVar("ConfigT", bound=msgspec.Struct)


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the raw text: character offsets, ``end`` exclusive; never the text itself."""

    start: int
    end: int
    type: str
    score: float


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """The score of one text by one detector."""

    #: In [0, 1], higher is worse.
    score: float
    #: The detector's word for its decision; ``error`` if it read only a part of the text and flagged nothing.
    label: str
    #: Whether the score reaches the detector's threshold.
    flagged: bool
    #: The share of the text that was read.
    covered: float = 1.0
    #: Positions in the raw text, of detectors that return them.
    spans: tuple[Span, ...] = ()


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One message of the prompt of an answer; ``role`` is ``system``, ``user`` or ``assistant``."""

    role: str
    content: str


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """Numeric features of one event, for stream detectors."""

    #: Identity, and event time in seconds.
    id: str
    time: float
    #: Name to value; without features that were not measured.
    features: dict[str, float]
    #: `detectors.models.embedding.pack` of the text's embedding, if this event was sampled.
    embedding: bytes | None = None
    #: Id of the API key.
    principal: str = ""
    #: A hash of its conversation; empty without one.
    conversation: str = ""
    #: The version of the frozen model that made the embedding.
    embedding_version: str = ""
    #: Id of the fixed prompt, for an answer to one of Weir's own; else empty.
    prompt: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a stream detector for one bucket."""

    #: In [0, 1]; at or above .5 exactly if the statistic exceeds its limit.
    score: float
    #: The test statistic and its limit.
    statistic: float
    limit: float
    #: The feature with the largest statistic.
    feature: str
    #: Whether the statistic exceeds the limit.
    alarm: bool
    #: Numbers that explain the result (size of the change, events seen); never text.
    details: dict[str, float] = {}


#: Labels of texts without a finding: read to the end, or only in part.
OK, ERROR = "ok", "error"


def label_of(word: str, *, flagged: bool, covered: float) -> str:
    """Return the label of a text: `word` if it is flagged, ``error`` if only a part of it was read, else ``ok``."""
    return word if flagged else OK if covered >= 1.0 else ERROR


class AlertText(msgspec.Struct, frozen=True, kw_only=True):
    """Wording of a detector's alerts."""

    #: What was found, in lower case, as the summary names it: "personal data", "drift".
    subject: str
    #: What an operator does first: one sentence of at most 200 characters, the detector's row in docs/operate.md.
    runbook: str
    #: Of a stream detector: what an alarm means, for findings whose details state no change.
    meaning: str = ""


class Detector(abc.ABC, Generic[ConfigT]):
    """A detector: name, version, frozen configuration, and the capabilities that stages and the console read."""

    name: ClassVar[str]
    version: ClassVar[str]
    config_type: ClassVar[type[msgspec.Struct]]
    #: Wording of its alerts; None: its findings open no alert. A text detector with it alerts on one flagged event.
    alert: ClassVar[AlertText | None] = None
    #: Whether its verdicts can be attributed to words (`detectors.text.explain`).
    explains: ClassVar[bool] = False
    #: The sides that it reads: ``input`` is prompts, ``output`` is answers.
    sides: ClassVar[tuple[str, ...]] = ("input", "output")

    def __init__(self, config: ConfigT | None = None) -> None:
        # The ignore: the type of a ClassVar cannot state that `config_type` returns a ConfigT.
        self.config: ConfigT = self.config_type() if config is None else config  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.version}>"


class TextDetector(Detector[ConfigT]):
    """Scores texts one by one; a batch only makes it faster."""

    @abc.abstractmethod
    def load(self) -> None:
        """Load weights and compile patterns; a second call does nothing.

        Raises WeightsError if weights are missing or have another digest than the pinned one.
        """

    @abc.abstractmethod
    def score_many(self, texts: Sequence[str]) -> list[Score]:
        """Score each text; pure, in order, and independent of the other texts up to rounding.

        Raises NotLoadedError if ``load()`` was not called.
        """

    @property
    def prompt_characters(self) -> int:
        """Upper bound of the prompt's characters that it reads with an answer; 0 if it reads the text alone."""
        return 0

    def score_answers(self, texts: Sequence[str], prompts: Sequence[Sequence[Turn]]) -> list[Score]:
        """Score each answer with the turns of its prompt, oldest first; the turns are empty if they are unknown."""
        del prompts  # most detectors read the text alone
        return self.score_many(texts)


class StreamDetector(Detector[ConfigT]):
    """Learns a stream, one closed bucket of observations at a time.

    State is bounded and an update costs amortised O(1) per observation. Findings are a function of the configuration and of the
    observations, in order: a replay returns the same. With `own_tenant`, it reads the answers to Weir's own fixed prompts alone.
    """

    own_tenant: ClassVar[bool] = False

    @abc.abstractmethod
    def update_many(self, observations: Sequence[Observation]) -> Finding | None:
        """Update with one closed bucket, sorted by (time, id); it may be empty.

        Return None while the detector learns its reference; then a finding for every bucket, alarm or not: the alert stage needs
        clear buckets too.
        """

    @abc.abstractmethod
    def snapshot(self) -> bytes:
        """Return the state as versioned, checksummed msgpack."""

    @abc.abstractmethod
    def restore(self, state: bytes) -> None:
        """Continue from a snapshot.

        Raises StateMismatch if the bytes are corrupt, or of another detector, version or configuration; the state is
        then unchanged.
        """
