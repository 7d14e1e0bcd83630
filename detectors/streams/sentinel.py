"""Sentinel detector: compares answers to fixed prompts with earlier answers to detect a change of model or serving.

Drift of users' traffic does not show whether the model changed or its users did. The sentinel prompts never change, so
a change in their answers is not caused by the input.

Each feature of an answer (distance of its embedding to the prompt's first embeddings, length, tokens, refusal score) is
ranked among the earlier values for the same prompt. The ranks become Mondrian conformal p-values (Vovk, Gammerman and
Shafer, Algorithmic Learning in a Random World, ch. 4.5), which are uniform for any prompt. So the p-values of all
prompts form one stream for the sequential test that drift uses too (`detectors.streams.monitor`).
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
import numpy as np
from msgspec import Meta

from detectors.base import AlertText, Finding, Observation, StreamDetector
from detectors.models.embedding import unpack
from detectors.snapshots import restoring, seal, unseal
from detectors.streams.monitor import Budget, Feature, Monitor, MonitorState
from detectors.streams.numeric_features import bin_of
from detectors.streams.paired_prompts import is_paired
from detectors.streams.sequential_tests import tie_break

SENTINEL = "sentinel"
EMBEDDING = "embedding"
#: Numeric features of an answer; with greedy decoding most of them are constant for a prompt.
NUMBERS = ("characters", "completion_tokens", "score_refusal")
#: Number of a prompt's first embeddings to which later ones are compared.
REFERENCE = 4
#: A value enters the history only after so many later values, so that changed values are not compared with each other.
HOLD = 2
#: Number of most recent prompts to keep: a new version of the prompt set has other names.
PROMPTS = 64
#: Number of bins of the distance 1 - similarity, from 0 to 1; rounding to float16 changes it by less than a bin.
_STEPS = 512


class SentinelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the sentinel detector.

    Attributes
    ----------
    alarm_every_events
        Alarm budget: on average at most one false alarm in this many answers.
    reference_events
        Size of the reference, which contains the first answers to all prompts together; findings start afterwards.
    adopt_events
        The detector is reset after this many answers during an alarm; later answers form a new reference.
    embedding_share
        The embedding's share of the budget; the numeric features divide the rest equally.
    seed
        Seed of the random order of equal values; the order depends only on this seed and the events' ids.
    """

    alarm_every_events: Annotated[int, Meta(ge=10)] = 10_000
    reference_events: Annotated[int, Meta(ge=8, le=2_000)] = 64
    adopt_events: Annotated[int, Meta(ge=8)] = 240
    embedding_share: Annotated[float, Meta(gt=0, lt=1)] = 0.55
    seed: int = 0


class _Ranks(msgspec.Struct, kw_only=True):
    """Earlier values of one feature of one prompt: counts by bin, and the last values, which are not yet counted."""

    counts: dict[int, int] = {}
    waiting: list[int] = []

    def p_value(self, value: int, tie: float) -> float:
        """Return the conformal p-value, in (0, 1): small for a large value, uniform if the values are exchangeable."""
        above = sum(count for other, count in self.counts.items() if other > value)
        return (above + tie * (self.counts.get(value, 0) + 1)) / (sum(self.counts.values()) + 1)

    def is_new(self, value: int) -> bool:
        """Whether this value differs from all earlier values; false if there are none."""
        return bool(self.counts) and value not in self.counts

    def learn(self, value: int) -> None:
        """Add a value; it is counted after `HOLD` more values."""
        self.waiting.append(value)
        while len(self.waiting) > HOLD:
            first = self.waiting.pop(0)
            self.counts[first] = self.counts.get(first, 0) + 1


class _Prompt(msgspec.Struct, kw_only=True):
    """State of one prompt; ``moved`` is whether a feature of its last answer differed from all earlier answers."""

    reference: list[bytes] = []
    ranks: dict[str, _Ranks] = {}
    moved: bool = False


class _State(msgspec.Struct, frozen=True, kw_only=True):
    prompts: dict[str, _Prompt]
    monitor: MonitorState
    alarmed: int


class SentinelDetector(StreamDetector[SentinelConfig]):
    """Detector that compares each answer with earlier answers to the same prompt; all prompts share one alarm budget.

    Observations without a ``prompt``, and answers to the paired prompts of the bias detector, are ignored.

    Notes
    -----
    State: at most 64 prompts, each with four packed embeddings (192 bytes each) and the counts of its non-empty bins.
    An update reads these counts once, which takes about 10 µs if most answers are equal.
    """

    name: ClassVar[str] = SENTINEL
    version: ClassVar[str] = "3"
    config_type: ClassVar[type[msgspec.Struct]] = SentinelConfig
    alert: ClassVar[AlertText] = AlertText(
        subject="change",
        meaning="the answers to the same fixed prompts changed, so the model or its serving changed, not the inputs",
        runbook="Find what changed at `opened_at` (model version, numeric type, engine or machine) and roll it back, or keep "
        "the change: it becomes the new reference.",
    )
    sides: ClassVar[tuple[str, ...]] = ("output",)
    own_tenant: ClassVar[bool] = True

    def __init__(self, config: SentinelConfig | None = None) -> None:
        super().__init__(config)
        self._reset()

    def _reset(self) -> None:
        config = self.config
        share = (1 - config.embedding_share) / len(NUMBERS)
        first = config.reference_events
        features = {EMBEDDING: Feature(share=config.embedding_share, tails=1, warm_up=first)}
        features |= {name: Feature(share=share, tails=2, warm_up=first) for name in NUMBERS}
        # Every answer is used, and answers do not depend on the time of day.
        budget = Budget(limit=config.alarm_every_events, daily=False, conversation_events=0)
        self._monitor = Monitor(features, budget)
        self._prompts: dict[str, _Prompt] = {}
        self._alarmed = 0

    def reads(self, observation: Observation) -> bool:
        """Return whether this is an answer to a prompt without a pair; see `StreamDetector.reads`."""
        return observation.prompt != "" and not is_paired(observation.prompt)

    def update_many(self, observations: Sequence[Observation]) -> Finding | None:
        """Process one bucket; see `StreamDetector.update_many`."""
        for observation in observations:
            if self.reads(observation):
                self._update(observation)
        finding = self._monitor.close()
        prompts = self._prompts.values()
        counts = {"prompts": float(len(prompts)), "prompts_moved": float(sum(prompt.moved for prompt in prompts))}
        if self._alarmed >= self.config.adopt_events:
            self._reset()
        return None if finding is None else msgspec.structs.replace(finding, details=finding.details | counts)

    def _update(self, observation: Observation) -> None:
        prompt = self._prompt(observation.prompt)
        values = self._values(prompt, observation)
        tie, chance = tie_break(self.config.seed, observation.id)
        scores = self._monitor.blank.copy()
        for name, value in values.items():
            ranks = prompt.ranks.setdefault(name, _Ranks())
            scores[self._monitor.columns[name]] = 1.0 - ranks.p_value(value, tie)
        prompt.moved = any(prompt.ranks[name].is_new(value) for name, value in values.items())
        was = self._monitor.alarm
        self._monitor.update(observation, scores, chance)
        self._learn(prompt, values, was=was)

    def _learn(self, prompt: _Prompt, values: dict[str, int], *, was: bool) -> None:
        """Add an answer to the history, except during an alarm.

        New values wait before they enter the history; when an alarm starts, the waiting values are dropped.
        """
        if not self._monitor.alarm:
            self._alarmed = 0
            for name, value in values.items():
                prompt.ranks[name].learn(value)
            return
        self._alarmed += 1
        if not was:
            for known in self._prompts.values():
                for ranks in known.ranks.values():
                    ranks.waiting = []

    def _prompt(self, name: str) -> _Prompt:
        """Return the state of a prompt; if there are more than `PROMPTS`, evict the least recently sent prompt."""
        prompt = self._prompts.pop(name, None) or _Prompt()
        while len(self._prompts) >= PROMPTS:
            del self._prompts[next(iter(self._prompts))]
        self._prompts[name] = prompt
        return prompt

    def _values(self, prompt: _Prompt, observation: Observation) -> dict[str, int]:
        features = observation.features
        found = {name: index for name in NUMBERS if (index := bin_of(features.get(name, float("nan")))) is not None}
        distance = self._distance(prompt, observation.embedding)
        return found if distance is None else found | {EMBEDDING: distance}

    def _distance(self, prompt: _Prompt, data: bytes | None) -> int | None:
        """Return the bin of an embedding's distance to the nearest reference embedding; None if unknown."""
        if not data or len(data) % 2 or (prompt.reference and len(data) != len(prompt.reference[0])):
            return None
        vector = unpack(data)
        if not np.isfinite(vector).all():
            return None
        if len(prompt.reference) < REFERENCE:
            prompt.reference.append(data)
            return None
        nearest = max(float(unpack(known) @ vector) for known in prompt.reference)
        return round((1.0 - nearest) * _STEPS)

    def snapshot(self) -> bytes:
        """Return the state; see `StreamDetector.snapshot`."""
        return seal(self, _State(prompts=self._prompts, monitor=self._monitor.snapshot(), alarmed=self._alarmed))

    def restore(self, state: bytes) -> None:
        """Continue from a snapshot; see `StreamDetector.restore`."""
        body = unseal(self, state, _State)
        with restoring(self):
            self._reset()
            self._monitor.restore(body.monitor)
            sizes = {len(data) for prompt in body.prompts.values() for data in prompt.reference}
            if any(size % 2 for size in sizes):
                raise ValueError(f"state has embeddings of {sorted(sizes)} bytes; expected even lengths")
            self._prompts, self._alarmed = body.prompts, body.alarmed
