"""Explains a flagged verdict: computes the words that the verdict depends on, while no event waits for the models.

An explanation needs about a hundred scores, but an alert must open within a second. So the finding is published first.
Then the text waits in a bounded queue. The models score variants of the text in small parts, and each part starts when
no event waits for the models. An explanation is skipped and counted as skipped if the text is too long, the queue is
full, the stream is above its limit, or the models stay busy; `weir explain` computes explanations on request. No alert
and no offset depends on an explanation.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec

from detectors.registry import EXPLAINED
from detectors.text.explain import Answer, Explained, Question, steps
from stream.remember import remember
from stream.stages.score.machine import inference_of
from stream.stages.score.metrics import ScoreMetrics
from stream.stages.score.model_pool import ModelPool
from stream.stages.score.records import explanation_event
from stream.wire import Event, Verdict, stream_key, text_at

_log = logging.getLogger(__name__)
_WAITING = 32
_EVALUATIONS = 96
#: Maximum number of characters of an explained text: the first question of a longer text would occupy the models for too long.
_LONGEST = 16_384
#: Characters in one question to the encoder (some tenths of a second), and to the linear model.
_SLICE, _CHEAP_SLICE = 1_000, 16_384
_WINDOW_SECONDS = 300.0
_STREAMS = 4_096
#: An explanation waits for idle time; a later one is dropped.
_LATE_SECONDS = 60.0


class ExplanationLimit:
    """Limits the explained findings per stream, detector and five minutes of event time.

    It stores two numbers for each of the 4,096 (stream, detector) pairs with the latest findings.
    """

    def __init__(self, findings: int) -> None:
        self._findings = findings
        self._spent: dict[tuple[str, str], tuple[int, int]] = {}

    def take(self, stream: str, detector: str, time: float) -> bool:
        """Count a finding with event time `time`; return whether it is within the limit."""
        window = int(time // _WINDOW_SECONDS)
        known, count = self._spent.get((stream, detector), (window, 0))
        if window > known:
            known, count = window, 0
        remember(self._spent, (stream, detector), (known, min(count + 1, self._findings + 1)), _STREAMS)
        return count < self._findings


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    event: Event
    partition: int
    verdict: Verdict
    text: str
    until: float


class Explainer:
    """Explains flagged verdicts one by one, within the setting ``explain_findings``.

    `quiet` returns when no event waits for the models; `publish` publishes an event to a partition of verdicts.
    """

    def __init__(
        self,
        models: ModelPool,
        quiet: Callable[[], Awaitable[None]],
        publish: Callable[[int, Event], Awaitable[None]],
        metrics: ScoreMetrics,
        *,
        findings: int,
    ) -> None:
        self._models = models
        self._quiet = quiet
        self._publish = publish
        self._metrics = metrics
        self._findings = findings
        self._limit = ExplanationLimit(findings)
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue(_WAITING)

    def offer(self, partition: int, event: Event, verdicts: Sequence[Verdict]) -> None:
        """Queue the flagged verdicts of an event. Call this after the findings of the verdicts are published."""
        for verdict in verdicts:
            if self._findings and verdict.flagged and verdict.detector in EXPLAINED:
                self._take(partition, event, verdict)

    def _take(self, partition: int, event: Event, verdict: Verdict) -> None:
        text = text_at(inference_of(event).messages, verdict.part)
        stream = stream_key(verdict.tenant, verdict.model, verdict.side, "", verdict.model_version)
        if not self._limit.take(stream, verdict.detector, event.time):
            self._metrics.explanation(verdict.detector, "enough")
        elif len(text) > _LONGEST:
            self._metrics.explanation(verdict.detector, "long")
        elif self._jobs.full():
            self._metrics.explanation(verdict.detector, "full")
        else:
            until = asyncio.get_running_loop().time() + _LATE_SECONDS
            self._jobs.put_nowait(_Job(event=event, partition=partition, verdict=verdict, text=text, until=until))

    async def run(self) -> None:
        """Explain queued verdicts until cancelled."""
        while True:
            job = await self._jobs.get()
            self._metrics.explanation(job.verdict.detector, await self._finish(job))

    async def _finish(self, job: _Job) -> str:
        """Explain a verdict and publish the explanation; return the outcome, a label of the metric."""
        try:
            explained = await self._explained(job)
        except TimeoutError:
            return "late"
        except Exception as error:  # noqa: BLE001 - a detector's error about a part of a text must not stop the stream
            _log.warning("%s is not explained: %s", job.event.id, type(error).__name__)
            return "failed"
        await self._publish(job.partition, explanation_event(job.event, job.verdict, explained))
        return "published"

    async def _explained(self, job: _Job) -> Explained:
        asking = steps(job.text, evaluations=_EVALUATIONS)
        question = next(asking)
        while True:
            answer = await self._answer(job, question)
            try:
                question = asking.send(answer)
            except StopIteration as done:
                found: Explained = done.value
                return found

    async def _answer(self, job: _Job, question: Question) -> Answer:
        """Let the detector score the texts of `question` in parts.

        Each part starts when no event waits for the models.
        """
        answers: list[Answer] = []
        for part in _parts(question):
            async with asyncio.timeout_at(job.until):
                await self._quiet()
            if asyncio.get_running_loop().time() > job.until:
                raise TimeoutError
            answers.append(await self._models.answer_question(job.verdict.detector, part))
        return Answer(odds=tuple(odds for answer in answers for odds in answer.odds), encoder=answers[0].encoder)


def _parts(question: Question) -> Iterator[Question]:
    """Split the texts of `question` into parts up to a limit of characters; a text above the limit becomes one part."""
    most = _CHEAP_SLICE if question.cheap else _SLICE
    part: list[str] = []
    for text in question.texts:
        if part and sum(map(len, part)) + len(text) > most:
            yield Question(texts=tuple(part), cheap=question.cheap)
            part = []
        part.append(text)
    yield Question(texts=tuple(part), cheap=question.cheap)
