"""Explanations of flagged verdicts: which words they rest on, told after the finding, from time that nobody else wants.

Why this exists: taking a score apart costs a hundred scores, and an alert has a second. So a finding is published first; its
text then waits in a bounded queue, and is worked off in small questions, each asked only while no event waits for the
models. What does not fit, comes too often or finds no idle moment in time is left out and counted: `weir explain` computes
it on demand. Nothing that alerts reads what is published here, and no offset waits for it.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

import msgspec

from detectors.registry import EXPLAINED
from detectors.text.explain import Answer, Attribution, Explained, Question, steps
from stream.stages.score.metrics import ScoreMetrics
from stream.stages.score.records import SOURCE, text_of
from stream.wire import Event, ExplanationRecord, RequestRecord, ResponseRecord, Verdict, WordWeight, stream_key
from stream.wire.ids import explanation_id, verdict_id

__all__ = ["MOST_WORDS", "Allowance", "Explainer", "explanation_event"]

_log = logging.getLogger(__name__)
#: Words that a record holds, those with the largest weights.
MOST_WORDS = 20
_WAITING = 32
_EVALUATIONS = 96
#: A longer text would hold the models up by its first question alone.
_LONGEST = 16_384
#: Characters in one question to the encoder (some tens of milliseconds), and to the cheap tier.
_SLICE, _CHEAP_SLICE = 1_000, 16_384
_WINDOW_SECONDS = 300.0
_STREAMS = 4_096


class Allowance:
    """How many findings of a stream and detector may be explained: so many in each five minutes of log time.

    Parameters
    ----------
    findings
        In a window, at most.

    Notes
    -----
    State: two numbers for each of the 4,096 streams that found something last.
    """

    def __init__(self, findings: int) -> None:
        self._findings = findings
        self._spent: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def take(self, stream: str, detector: str, time: float) -> bool:
        """Whether a finding at `time` may be explained; counts it."""
        window = int(time // _WINDOW_SECONDS)
        known, count = self._spent.pop((stream, detector), (window, 0))
        if window > known:
            known, count = window, 0
        self._spent[stream, detector] = (known, min(count + 1, self._findings + 1))
        if len(self._spent) > _STREAMS:
            self._spent.popitem(last=False)
        return count < self._findings


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    event: Event
    partition: int
    verdict: Verdict
    text: str
    until: float


class _Models(Protocol):
    async def explaining(self, name: str, question: Question) -> Answer: ...


class Explainer:
    """Works off flagged verdicts one by one.

    Parameters
    ----------
    models
        Answers questions about a detector's scores.
    quiet
        Returns once no event waits for the models.
    publish
        Publishes an event to a partition of verdicts.
    metrics
        Counts what became of each.
    findings, seconds
        The settings ``explain_findings`` and ``explain_seconds``.
    """

    def __init__(  # noqa: PLR0913 - what it works with, and two settings
        self,
        models: _Models,
        quiet: Callable[[], Awaitable[None]],
        publish: Callable[[int, Event], Awaitable[None]],
        metrics: ScoreMetrics,
        *,
        findings: int,
        seconds: float,
    ) -> None:
        self._models = models
        self._quiet = quiet
        self._publish = publish
        self._metrics = metrics
        self._findings = findings
        self._seconds = seconds
        self._allowance = Allowance(findings)
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue(_WAITING)

    def offer(self, partition: int, event: Event, verdicts: Sequence[Verdict]) -> None:
        """Take what was flagged in an event of inference partition `partition`, its findings being published."""
        for verdict in verdicts:
            if self._findings and verdict.flagged and verdict.detector in EXPLAINED:
                self._take(partition, event, verdict)

    def _take(self, partition: int, event: Event, verdict: Verdict) -> None:
        assert isinstance(event.data, RequestRecord | ResponseRecord)
        text = text_of(event.data)
        stream = stream_key(verdict.tenant, verdict.model, verdict.side)
        if not self._allowance.take(stream, verdict.detector, event.time):
            self._metrics.explanation(verdict.detector, "enough")
        elif len(text) > _LONGEST:
            self._metrics.explanation(verdict.detector, "long")
        elif self._jobs.full():
            self._metrics.explanation(verdict.detector, "full")
        else:
            until = asyncio.get_running_loop().time() + self._seconds
            self._jobs.put_nowait(_Job(event=event, partition=partition, verdict=verdict, text=text, until=until))

    async def run(self) -> None:
        """Explain until cancelled."""
        while True:
            job = await self._jobs.get()
            self._metrics.explanation(job.verdict.detector, await self._finish(job))

    async def _finish(self, job: _Job) -> str:
        """Explain and publish; return what became of it."""
        try:
            told = await self._explained(job)
        except TimeoutError:
            return "late"
        except Exception as error:  # noqa: BLE001 - whatever a detector raises about parts of a text, the stream goes on
            _log.warning("%s is not explained: %s", job.event.id, type(error).__name__)
            return "failed"
        await self._publish(job.partition, explanation_event(job.event, job.verdict, told))
        return "told"

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
        """Ask a question in parts, each in a quiet moment: none is ended half way, for that would end its process."""
        answers: list[Answer] = []
        for part in _parts(question):
            async with asyncio.timeout_at(job.until):
                await self._quiet()
            if asyncio.get_running_loop().time() > job.until:
                raise TimeoutError
            answers.append(await self._models.explaining(job.verdict.detector, part))
        return Answer(odds=tuple(one for answer in answers for one in answer.odds), encoder=answers[0].encoder)


def _parts(question: Question) -> Iterator[Question]:
    """Cut a question into parts of so many characters, a text each at least."""
    most = _CHEAP_SLICE if question.cheap else _SLICE
    part: list[str] = []
    for text in question.texts:
        if part and sum(map(len, part)) + len(text) > most:
            yield Question(texts=tuple(part), cheap=question.cheap)
            part = []
        part.append(text)
    yield Question(texts=tuple(part), cheap=question.cheap)


def explanation_event(event: Event, verdict: Verdict, told: Explained) -> Event:
    """Return the event that says which words `verdict` rests on, with the key of its inference event; it holds no word."""
    record = ExplanationRecord(
        request_id=verdict.request_id,
        event_id=event.id,
        tenant=verdict.tenant,
        model=verdict.model,
        side=verdict.side,
        detector=verdict.detector,
        version=verdict.version,
        method=told.method,
        base=round(told.base, 4),
        score=round(told.score, 4),
        attributed=len(told.words),
        words=_strongest(told.words),
    )
    return Event(
        id=explanation_id(event.id, verdict.detector, verdict.version, told.method),
        source=SOURCE,
        type=ExplanationRecord.event_type,
        time=event.time,
        data=record,
        subject=verdict.request_id,
        correlationid=event.correlationid,
        causationid=verdict_id(event.id, verdict.detector, verdict.version),
        traceparent=event.traceparent,
        partitionkey=event.partitionkey,
    )


def _strongest(words: Sequence[Attribution]) -> tuple[WordWeight, ...]:
    kept = sorted(words, key=lambda word: (-abs(word.weight), word.start))[:MOST_WORDS]
    return tuple(WordWeight(start=w.start, end=w.end, weight=round(w.weight, 4)) for w in sorted(kept))
