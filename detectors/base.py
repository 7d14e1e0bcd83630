"""Interfaces of text detectors, which score one text, and stream detectors, which learn from a stream of events.

A detector reads no clock or settings and calls no service. Time and identity are arguments, so any stage can run it.
"""

import abc
import enum
from collections.abc import Sequence
from typing import ClassVar, Generic, Self, TypeVar

import msgspec

from detectors.errors import NotLoadedError

ConfigT = TypeVar("ConfigT", bound=msgspec.Struct)


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """The position of a finding in the raw text, as character offsets, ``end`` exclusive; never the text itself.

    If ``part`` is not empty, the offsets are into the message of the prompt with this `Turn.pointer`.
    """

    start: int
    end: int
    type: str
    score: float
    part: str = ""


#: Labels of texts without a finding: read to the end, or only in part.
OK, ERROR = "ok", "error"
#: Label of a text without a finding, if its language is one that the detector does not support.
UNSUPPORTED_LANGUAGE = "unsupported_language"


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """The score of one text by one detector."""

    #: In [0, 1], higher is worse.
    score: float
    #: The detector's name for its decision; without a finding ``ok``, ``error`` if it read only a part of the text,
    #: ``unknown`` if it cannot decide, or ``unsupported_language``.
    label: str
    #: Whether the score reaches the detector's threshold.
    flagged: bool
    #: The share of the text that was read.
    covered: float = 1.0
    #: Positions of the findings in the raw text, if the detector returns positions.
    spans: tuple[Span, ...] = ()

    @classmethod
    def of(cls, score: float, threshold: float, word: str, covered: float = 1.0, spans: Sequence[Span] = ()) -> Self:
        """Return a score with the label `word` if it reaches the threshold, else ``ok`` if the whole text was read, else ``error``."""
        flagged = score >= threshold
        label = word if flagged else OK if covered >= 1.0 else ERROR
        return cls(score=score, label=label, flagged=flagged, covered=covered, spans=tuple(spans))


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a prompt, or a part of it; ``role`` is ``system``, ``developer``, ``user``, ``assistant`` or ``tool``.

    ``pointer`` is the JSON pointer of the part in its record; empty if there is no record.
    """

    role: str
    content: str
    pointer: str = ""


#: Roles of messages that the operator of the model wrote.
OPERATOR_ROLES = frozenset({"system", "developer"})


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """Numeric features of one event, for stream detectors."""

    #: Id of the event, and event time in seconds.
    id: str
    time: float
    #: Value of each feature by name; features that were not measured are absent.
    features: dict[str, float]
    #: `detectors.models.embedding.pack` of the text's embedding, if this event was sampled.
    embedding: bytes | None = None
    #: Id of the API key.
    principal: str = ""
    #: A hash of the conversation id; empty if the event has none.
    conversation: str = ""
    #: Of a chat without a conversation id: digests of its messages, and of the earlier requests that it repeats, newest first.
    turns: tuple[str, ...] = ()
    #: The version of the frozen model that made the embedding.
    embedding_version: str = ""
    #: For an answer to one of Weir's own fixed prompts: the id of the prompt; else empty.
    prompt: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a stream detector for one bucket, a fixed interval of event time."""

    #: In [0, 1]; it is .5 or more exactly if the statistic reaches its limit.
    score: float
    #: The test statistic and its limit.
    statistic: float
    limit: float
    #: The feature with the largest statistic.
    feature: str
    #: Whether the statistic reaches the limit and the change is large enough to act on.
    alarm: bool
    #: Numbers that explain the result (size of the change, events seen); never text.
    details: dict[str, float] = {}


def too_small(finding: Finding) -> Finding:
    """Return a finding whose change is significant but below the minimum effect: no alarm, and the detail ``too_small``."""
    return msgspec.structs.replace(finding, alarm=False, details=finding.details | {"too_small": 1.0})


class AlertText(msgspec.Struct, frozen=True, kw_only=True):
    """Wording of a detector's alerts."""

    #: The subject of the summary in lower case: "personal data", "drift".
    subject: str
    #: The operator's first action: one sentence of at most 200 characters, as in docs/runbook.md.
    runbook: str
    #: The meaning of a stream detector's alarm; used if the finding's details describe no change.
    meaning: str = ""


class Reads(enum.Enum):
    """The texts of an event that a text detector scores. A message consists of parts: text, reasoning, tool calls, tool results."""

    #: The text parts of all messages, joined by line breaks, as one text.
    JOINED = "joined"
    #: Each part that has text, arguments of tool calls included, by itself.
    PARTS = "parts"
    #: Of a request, the parts that neither the operator nor the model wrote (users' turns and tool results). Each part
    #: after the model's last message is a text, and the last texts together are another. Of an answer, the joined text.
    UNTRUSTED = "untrusted"
    #: The text of each choice of an answer, as one JSON list of strings.
    CHOICES = "choices"
    #: Each tool call by itself, as a `detectors.text.tools.ToolCall` in JSON.
    CALLS = "calls"


class Detector(abc.ABC, Generic[ConfigT]):
    """Base class of all detectors; class attributes describe capabilities, which the stages and the console read."""

    name: ClassVar[str]
    version: ClassVar[str]
    config_type: ClassVar[type[msgspec.Struct]]
    #: Wording of its alerts; None if its findings open no alert. One flagged event of a text detector opens an alert.
    alert: ClassVar[AlertText | None] = None
    #: Whether its verdicts can be attributed to words (`detectors.text.explain`).
    explains: ClassVar[bool] = False
    #: The sides that it scores: ``input`` is prompts, ``output`` is answers.
    sides: ClassVar[tuple[str, ...]] = ("input", "output")

    def __init__(self, config: ConfigT | None = None) -> None:
        # The ignore: the type of a ClassVar cannot state that `config_type` returns a ConfigT.
        self.config: ConfigT = self.config_type() if config is None else config  # type: ignore[assignment]


class TextDetector(Detector[ConfigT]):
    """A detector that scores texts independently of each other; batches only save time."""

    #: The texts of an event that the detector scores; the highest score is the event's.
    reads: ClassVar[Reads] = Reads.JOINED
    #: Whether `score_answers` needs the operator's messages, which are then in the record of each answer.
    reads_instructions: ClassVar[bool] = False
    #: Whether `score_answers` compares the users' texts of a request (`Reads.UNTRUSTED`) with the request's system messages.
    reads_rules: ClassVar[bool] = False
    #: Maximum number of prompt characters that the detector reads with an answer; 0 if prompts are not read.
    prompt_characters: int = 0

    @property
    def reads_history(self) -> bool:
        """Whether a detector of `Reads.UNTRUSTED` reads each text before the model's last message by itself, too."""
        return False

    def check_options(self) -> None:
        """Raise ConfigError if an option without a usable default is not set, so that a wrong setting is found before `load`."""

    #: What ``load()`` loaded, or True without weights; None before ``load()``.
    _loaded: object = None

    def load(self) -> None:
        """Load weights and compile patterns; a second call does nothing. A detector without weights needs no own method.

        Raises WeightsError if weights are missing or their digest is not the pinned digest.
        """
        self._loaded = True

    def check_loaded(self) -> None:
        """Raise NotLoadedError if ``load()`` was not called."""
        if self._loaded is None:
            raise NotLoadedError(f"{self.name} is not loaded: call load() once in the process that scores")

    @abc.abstractmethod
    def score_many(self, texts: Sequence[str]) -> list[Score]:
        """Return the score of each text, in the order of `texts`.

        The score of a text does not depend on the other texts of the call, except for rounding errors.

        Raises NotLoadedError if ``load()`` was not called.
        """

    def slow(self, texts: Sequence[str]) -> list[bool]:
        """Return whether each text needs a slow model. Of one event, only a bounded number of characters of such texts is scored."""
        return [False] * len(texts)

    def score_answers(self, texts: Sequence[str], prompts: Sequence[Sequence[Turn]]) -> list[Score]:
        """Score each answer with its prompt's messages, oldest first; an unknown prompt is an empty list."""
        del prompts  # most detectors read only the answer
        return self.score_many(texts)


class AnswerDetector(TextDetector[ConfigT]):
    """A text detector that scores an answer with its prompt; a text alone is an answer to an empty prompt."""

    def score_many(self, texts: Sequence[str]) -> list[Score]:
        """Score each text with an empty prompt."""
        return self.score_answers(texts, [()] * len(texts))

    def score_answers(self, texts: Sequence[str], prompts: Sequence[Sequence[Turn]]) -> list[Score]:
        """Score each answer with its prompt; see `TextDetector.score_answers`. An empty answer scores 0."""
        self.check_loaded()
        empty = Score(score=0.0, label=OK, flagged=False)
        return [self._score(text, turns) if text.strip() else empty for text, turns in zip(texts, prompts, strict=True)]

    @abc.abstractmethod
    def _score(self, text: str, turns: Sequence[Turn]) -> Score:
        """Return the score of an answer that is not empty, given the messages of its prompt; ``load()`` was called."""


class StreamDetector(Detector[ConfigT]):
    """A detector that learns from a stream of observations, one bucket (a fixed interval of event time) at a time.

    State is bounded and an update costs amortised O(1) per observation. Findings depend only on the configuration and
    the observations in order, so a replay returns the same findings.
    """

    #: Whether the detector reads only answers to Weir's own fixed prompts, instead of users' traffic.
    own_tenant: ClassVar[bool] = False
    #: Options that decide only which findings are alarms: a snapshot is valid for all their values.
    stateless_options: ClassVar[tuple[str, ...]] = ()

    def reads(self, observation: Observation) -> bool:
        """Return whether `update_many` uses this observation; if false, the event is not evidence of the bucket's finding."""
        del observation  # most detectors read all events
        return True

    @abc.abstractmethod
    def update_many(self, observations: Sequence[Observation]) -> Finding | None:
        """Learn from the observations of one bucket, sorted by (time, id); the bucket can be empty.

        Return None while the detector collects its reference. Afterwards, return a finding for every bucket: the alert
        stage needs findings without an alarm to resolve alerts.
        """

    @abc.abstractmethod
    def snapshot(self) -> bytes:
        """Return the state as versioned, checksummed msgpack."""

    @abc.abstractmethod
    def restore(self, state: bytes) -> None:
        """Continue from a snapshot.

        Raises StateMismatch, and does not change the state of the detector, if the bytes are corrupt, or from another
        detector, version or configuration. The values of `stateless_options` may differ.
        """
