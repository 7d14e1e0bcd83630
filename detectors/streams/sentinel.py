"""Answers to fixed prompts, each against the earlier answers to the same prompt: a change of the model or of its serving.

Why this exists: drift of users' traffic cannot tell a new use from a new model. The sentinel prompts never change, so what changes in
their answers is not the input's doing.

An answer's features (distance of its frozen embedding to the prompt's first ones, length, tokens, refusal score) are ranked among the
same features of the same prompt alone (Mondrian conformal p-values: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World,
ch. 4.5). These are uniform whatever the prompts are and however their answers differ, so that the p-values of all prompts make one stream
for the alarm budget that drift has (`detectors.streams.monitor`).
"""

from collections import deque
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
import numpy as np
from msgspec import Meta

from detectors.base import AlertText, Finding, Observation, StreamDetector, restoring, seal, unseal
from detectors.models.embedding import unpack
from detectors.streams.monitor import Budget, Feature, Monitor, MonitorState
from detectors.streams.numeric_features import place
from detectors.streams.sequential_tests import tie_break

__all__ = ["SENTINEL", "SentinelConfig", "SentinelDetector"]

SENTINEL = "sentinel"
EMBEDDING = "embedding"
#: Numeric features of an answer; greedy decoding makes most of them constants of a prompt.
NUMBERS = ("characters", "completion_tokens", "score_refusal")
#: A prompt's first embeddings, which later ones are held against.
REFERENCE = 4
#: Values of a prompt that wait before they are history, so that a change is not compared with itself.
HOLD = 2
#: Prompts that are remembered, the last ones asked: a new version of the set has prompts of other names.
PROMPTS = 64
#: Bins of a distance, 1 - similarity, from 0 to 1: float16 and another batch move it by less.
_STEPS = 512


class SentinelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the sentinel detector.

    Attributes
    ----------
    alarm_every_events
        The budget: answers between two false alarms, on average, at least.
    reference_events
        Answers, over all prompts, that are only remembered before the first opinion.
    adopt_events
        Answers after which an alarm that lasts is adopted: the changed model is what is normal from then on.
    embedding_share
        The embedding's share of the budget; the numeric features divide the rest.
    seed
        Breaks ties between equal ranks, together with the event's id.
    """

    alarm_every_events: Annotated[int, Meta(ge=10)] = 10_000
    reference_events: Annotated[int, Meta(ge=8)] = 64
    adopt_events: Annotated[int, Meta(ge=8)] = 240
    embedding_share: Annotated[float, Meta(gt=0, lt=1)] = 0.55
    seed: int = 0


class _Ranks(msgspec.Struct, kw_only=True):
    """Past values of one feature of one prompt: counts by bin, and those that still wait."""

    counts: dict[int, int] = {}
    waiting: list[int] = []

    def p_value(self, value: int, tie: float) -> float:
        """Return the conformal p-value of a large `value`, in (0, 1): uniform while the values are exchangeable."""
        above = sum(count for other, count in self.counts.items() if other > value)
        return (above + tie * (self.counts.get(value, 0) + 1)) / (sum(self.counts.values()) + 1)

    def is_new(self, value: int) -> bool:
        """Whether no past value is like this one."""
        return bool(self.counts) and value not in self.counts

    def learn(self, value: int) -> None:
        """Remember a value, `HOLD` values later."""
        waiting = deque([*self.waiting, value])
        while len(waiting) > HOLD:
            first = waiting.popleft()
            self.counts[first] = self.counts.get(first, 0) + 1
        self.waiting = list(waiting)


class _Prompt(msgspec.Struct, kw_only=True):
    """What is known of one prompt; `moved` tells whether its last answer was unlike all before."""

    reference: list[bytes] = []
    ranks: dict[str, _Ranks] = {}
    moved: bool = False


class _State(msgspec.Struct, frozen=True, kw_only=True):
    prompts: dict[str, _Prompt]
    monitor: MonitorState
    alarmed: int


class SentinelDetector(StreamDetector[SentinelConfig]):
    """Each answer against the earlier answers to the same prompt, all prompts under one alarm budget.

    Observations without a ``prompt`` are passed over.

    Notes
    -----
    State: 64 prompts at most, each with four packed embeddings (192 bytes each) and the counts of the bins that its values fell
    into. An update costs one pass over these counts, some 10 µs where answers repeat.
    """

    name: ClassVar[str] = SENTINEL
    version: ClassVar[str] = "1"
    config_type: ClassVar[type[msgspec.Struct]] = SentinelConfig
    alert: ClassVar[AlertText] = AlertText(
        subject="change",
        meaning="the answers to the same fixed prompts changed, so the model or its serving changed, not the inputs",
        runbook="Find what changed at `opened_at` (model version, numeric type, engine or machine) and roll it back, or keep "
        "the change: it becomes the new baseline.",
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
        # Every answer is looked at, and those of a night are like those of a day.
        budget = Budget(limit=config.alarm_every_events, daily=False, conversation_events=0)
        self._monitor = Monitor(features, budget)
        self._prompts: dict[str, _Prompt] = {}
        self._alarmed = 0

    def update_many(self, observations: Sequence[Observation]) -> Finding | None:
        """Take one closed bucket; see `StreamDetector.update_many`."""
        for observation in observations:
            if observation.prompt:
                self._update(observation)
        finding = self._monitor.close()
        if self._alarmed >= self.config.adopt_events:
            self._reset()
        if finding is None:
            return None
        moved = sum(prompt.moved for prompt in self._prompts.values())
        details = finding.details | {"prompts": float(len(self._prompts)), "prompts_moved": float(moved)}
        return msgspec.structs.replace(finding, details=details)

    def _update(self, observation: Observation) -> None:
        prompt = self._prompt(observation.prompt)
        values = self._values(prompt, observation)
        tie, chance = tie_break(self.config.seed, observation.id)
        scores = self._monitor.blank.copy()
        for name, value in values.items():
            ranks = prompt.ranks.setdefault(name, _Ranks())
            scores[self._monitor.columns(name)] = 1.0 - ranks.p_value(value, tie)
        prompt.moved = any(prompt.ranks[name].is_new(value) for name, value in values.items())
        was = self._monitor.alarm
        self._monitor.update(observation, scores, chance)
        self._learn(prompt, values, was=was)

    def _learn(self, prompt: _Prompt, values: dict[str, int], *, was: bool) -> None:
        """Remember an answer, unless the model is judged another: then what waits is the change, and is forgotten."""
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
        """Return what is known of a prompt; the one that was asked longest ago makes room."""
        prompt = self._prompts.pop(name, None) or _Prompt()
        while len(self._prompts) >= PROMPTS:
            del self._prompts[next(iter(self._prompts))]
        self._prompts[name] = prompt
        return prompt

    def _values(self, prompt: _Prompt, observation: Observation) -> dict[str, int]:
        """Return the bin of each feature that the answer has."""
        features = observation.features
        found = {name: where for name in NUMBERS if (where := place(features.get(name, float("nan")))) is not None}
        distance = self._distance(prompt, observation.embedding)
        return found if distance is None else found | {EMBEDDING: distance}

    def _distance(self, prompt: _Prompt, data: bytes | None) -> int | None:
        """Return the bin of the distance to the nearest reference; None without an embedding, or while the reference fills."""
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
                raise ValueError(f"a reference has embeddings of an even length, the state of {sorted(sizes)}")
            self._prompts, self._alarmed = body.prompts, body.alarmed
