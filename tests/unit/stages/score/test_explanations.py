"""Explanations of flagged verdicts: bounded in number, computed while no event waits, with the words of ``weir
explain``.
"""

import asyncio
import math

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from support.events import a_request, event_of

from detectors.base import Score, TextDetector
from detectors.registry import create_text
from detectors.text.explain import answer, explain
from stream.stages.score import explanations
from stream.stages.score.event_parts import EventScore
from stream.stages.score.explanations import Explainer, ExplanationLimit
from stream.stages.score.machine import verdict
from stream.stages.score.metrics import ScoreMetrics
from stream.stages.score.records import MOST_WORDS, explanation_event, verdict_event
from stream.wire import Message, encode
from stream.wire.ids import explanation_id

WEIGHTS = {"bad": 4.0, "worse": 6.0, "good": -1.5}
TEXT = "a bad day and a worse night but a good end"


class Sum(TextDetector):
    """A detector with known weights: a logistic sum over words."""

    name, version, config_type = "toxicity", "1", type(create_text("toxicity").config)

    def load(self):
        pass

    def score_many(self, texts):
        sums = [-2.0 + sum(WEIGHTS.get(word, 0.0) for word in text.split()) for text in texts]
        return [Score(score=1 / (1 + math.exp(-s)), label="toxic" if s > 0 else "ok", flagged=s > 0) for s in sums]


class Models:
    """Models that answer immediately in this process; `asked` has the questions."""

    def __init__(self, detector, failing=None):
        self.detector, self.failing, self.asked = detector, failing, []

    async def answer_question(self, name, question):
        assert name == self.detector.name
        if self.failing is not None:
            raise self.failing
        self.asked.append(question)
        await asyncio.sleep(0)
        return answer(self.detector, question)


class Stage:
    """An explainer with its published events and its counts."""

    def __init__(self, detector=None, *, findings=3, failing=None, busy=False):
        self.models = Models(detector or Sum(), failing)
        self.name = self.models.detector.name
        self.registry = CollectorRegistry()
        self.published, self.idle = [], asyncio.Event()
        if not busy:
            self.idle.set()
        self.explainer = Explainer(
            self.models, self.idle.wait, self._publish, ScoreMetrics(self.registry), findings=findings
        )

    async def _publish(self, partition, event):
        self.published.append((partition, event))

    def offer(self, *texts, at=100.0, tenant="acme", flagged=True, detector="toxicity"):
        for number, text in enumerate(texts):
            event = prompt(f"{tenant}-{at}-{number}", text, at, tenant)
            score = EventScore(score=0.9, label="toxic", flagged=flagged)
            self.explainer.offer(1, event, [verdict(event, detector, "1", score)])

    def count(self, outcome):
        labels = {"detector": self.name, "outcome": outcome}
        return self.registry.get_sample_value("weir_score_explanations_total", labels) or 0.0

    async def until(self, **outcomes):
        work = asyncio.create_task(self.explainer.run())
        try:
            while not all(self.count(name) >= count for name, count in outcomes.items()):
                assert not work.done()
                await asyncio.sleep(0)
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        assert {name: self.count(name) for name in outcomes} == outcomes


def prompt(request_id, text, at=100.0, tenant="acme"):
    data = a_request(request_id, text, tenant=tenant)
    return event_of(data, f"{request_id}/request", at, key="key", correlationid=request_id)


@pytest.fixture
def stage():
    return Stage()


async def test_an_explanation_has_offsets_and_weights_and_no_text(stage):
    stage.offer(TEXT)
    await stage.until(published=1)
    ((partition, event),) = stage.published
    record = event.data
    assert (partition, event.partitionkey, event.time) == (1, "key", 100.0)
    assert event.id == explanation_id("acme-100.0-0/request", "toxicity", "1", "occlusion")
    said = verdict_event(prompt("acme-100.0-0", TEXT), verdict(prompt("acme-100.0-0", TEXT), "toxicity", "1", None), "")
    assert event.causationid == said.id
    found = {TEXT[word.start : word.end]: word.weight for word in record.words}
    assert {name: found[name] for name in WEIGHTS} == pytest.approx(WEIGHTS, abs=1e-3)
    assert (record.method, record.attributed) == ("occlusion", 11)
    assert (record.base, record.score) == pytest.approx((0.1192, 0.9985), abs=1e-4)
    assert not any(word in encode(event).value for word in (b"worse", b"night"))


async def test_the_models_get_no_question_while_an_event_waits_for_them():
    stage = Stage(busy=True)
    stage.offer(TEXT)
    work = asyncio.create_task(stage.explainer.run())
    for _ in range(50):
        await asyncio.sleep(0)
    assert not stage.models.asked
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def test_the_size_of_a_question_is_bounded(stage):
    text = " ".join(f"{'x' * 35}{number}" for number in range(400)) + " bad"
    stage.offer(text)
    await stage.until(published=1)
    assert all(len(one.texts) == 1 or sum(map(len, one.texts)) <= 16_384 for one in stage.models.asked)
    assert all(len(one.texts) == 1 or sum(map(len, one.texts)) <= 1_000 for one in stage.models.asked if not one.cheap)
    assert len(stage.published[0][1].data.words) <= MOST_WORDS


async def test_of_a_flood_three_verdicts_are_explained_per_stream_and_window(stage):
    stage.offer(*[TEXT] * 200)
    stage.offer(*[TEXT] * 5, tenant="other")
    stage.offer(*[TEXT] * 5, at=400.0)
    await stage.until(published=9, enough=197 + 2 + 2)


async def test_verdicts_beyond_the_queue_late_verdicts_and_long_texts_are_not_explained_and_are_counted(monkeypatch):
    stage = Stage(findings=100)
    stage.offer(*[TEXT] * 50)
    await stage.until(published=32, full=18)
    for busy, seconds in ((False, 0.0), (True, 0.01)):
        monkeypatch.setattr(explanations, "_LATE_SECONDS", seconds)
        stage = Stage(busy=busy)
        stage.offer(TEXT)
        await stage.until(late=1)
    monkeypatch.undo()
    stage = Stage()
    stage.offer("bad " * 5_000)
    await stage.until(long=1)
    for stage in (Stage(failing=ValueError("bad day")), Stage(failing=TimeoutError())):
        stage.offer(TEXT, TEXT)
        await stage.until(**{"late" if isinstance(stage.models.failing, TimeoutError) else "failed": 2})
        assert not stage.published


async def test_only_flagged_verdicts_of_detectors_that_explain_are_explained(stage):
    stage.offer(TEXT, flagged=False)
    stage.offer(TEXT, detector="pii")
    off = Stage(findings=0)
    off.offer(TEXT)
    assert stage.explainer._jobs.empty()
    assert off.explainer._jobs.empty()


def test_the_limit_is_per_stream_and_detector_and_is_renewed_with_event_time():
    allowance = ExplanationLimit(2)
    assert [allowance.take("a", "toxicity", time) for time in (10.0, 20.0, 30.0)] == [True, True, False]
    assert allowance.take("a", "injection", 30.0)
    assert allowance.take("b", "toxicity", 30.0)
    assert allowance.take("a", "toxicity", 301.0)
    assert allowance.take("a", "toxicity", 20.0), "a late event counts in the present window"
    assert not allowance.take("a", "toxicity", 302.0)
    for number in range(5_000):
        allowance.take(f"s{number}", "toxicity", 302.0)
    assert len(allowance._spent) == 4_096


async def test_the_text_of_the_part_of_the_verdict_is_explained(stage):
    messages = (Message.of_text("user", "all good"), Message.of_text("tool", TEXT))
    event = event_of(a_request("r1", messages=messages), "r1/request", 100.0)
    stage.explainer.offer(
        0, event, [verdict(event, "toxicity", "1", EventScore(score=0.9, flagged=True, part="/messages/1/parts/0"))]
    )
    await stage.until(published=1)
    words = {TEXT[word.start : word.end]: word.weight for word in stage.published[0][1].data.words}
    assert {name: words[name] for name in WEIGHTS} == pytest.approx(WEIGHTS, abs=1e-3)


def test_the_same_explanation_has_the_same_id_and_bytes():
    event = prompt("r1", TEXT)
    said = verdict(event, "toxicity", "1", EventScore(score=0.9, label="toxic", flagged=True))
    told = explain(Sum(), TEXT)
    first, again = (explanation_event(event, said, one) for one in (told, explain(Sum(), TEXT)))
    assert encode(first) == encode(again)
    other = explanation_event(event, said, msgspec.structs.replace(told, method="shap"))
    assert other.id != first.id
