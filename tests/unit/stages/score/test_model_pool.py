"""Model processes: deadlines, crashes, and the search for the event that caused them."""

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager

import msgspec
import pytest
from support import doubles
from support.events import a_request, an_end

from detectors.errors import WeightsError
from detectors.registry import create_text
from stream.errors import ModelsLost
from stream.stages.score import model_pool
from stream.stages.score.machine import item_of
from stream.stages.score.model_pool import Failed, ModelPool, failure_of
from stream.stages.score.model_process import ModelProcess, ModelSpec, Scored
from stream.wire import Choice, DeclaredTool, ToolCallPart

SPEC = ModelSpec(detectors=("pii", "toxicity"), threads=1, create=doubles.create, embedder=None)
POOL = {"workers": 1, "deadline_seconds": 30.0}


@asynccontextmanager
async def running(spec=SPEC, **options):
    pool = ModelPool(spec, **(POOL | options))
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


async def scored(pool, *texts, detectors=("pii", "toxicity")):
    outcomes = {}
    await pool.score([item_of(a_request("r1", text), detectors) for text in texts], outcomes.__setitem__)
    return [outcomes[row] for row in range(len(texts))]


async def test_only_expected_and_known_detectors_score():
    async with running() as pool:
        (found,) = await scored(pool, "call 5551234", detectors=("pii", "toxicity", "unheard-of"))
        assert (set(found.scores), found.versions["pii"]) == ({"pii", "toxicity"}, "test-1")
        assert found.scores["pii"].flagged
        (clear,) = await scored(pool, "hello", detectors=("pii",))
        assert set(clear.scores) == {"pii"}
        assert not clear.scores["pii"].flagged


async def test_only_the_events_of_a_batch_that_cause_a_failure_fail(caplog):
    steps = []
    async with running(deadline_seconds=2.0, progress=lambda: steps.append(time.monotonic())) as pool:
        outcomes = await scored(pool, "a CRASH", "b", "c HANG", "d RAISE")
        failed = {row: failure for row, one in enumerate(outcomes) if (failure := failure_of(one)) is not None}
        assert {row: one.disposition for row, one in failed.items()} == {0: "bug", 2: "timeout", 3: "bug"}
        assert failed[3].error == "ValueError"
        assert len(steps) >= 3
        assert isinstance((await scored(pool, "after"))[0], Scored)
    assert "s; [score] deadline_seconds is 2), halving it" in caplog.text


async def test_a_text_whose_process_is_killed_by_another_cause_is_scored_by_the_next_process(tmp_path, caplog):
    spec = msgspec.structs.replace(SPEC, options={"pii": {"killed_once": str(tmp_path / "killed")}})
    async with running(spec) as pool:
        (outcome,) = await scored(pool, "call 5551234")
    assert failure_of(outcome) is None
    assert outcome.scores["pii"].flagged
    assert "retrying its text once" in caplog.text


async def test_a_text_that_ends_its_process_fails_after_the_second_attempt(caplog):
    async with running() as pool:
        assert await scored(pool, "a CRASH") == [Failed(disposition="bug", error="ProcessExpired")]
    assert caplog.text.count("retrying its text once") == 1


async def test_long_texts_that_together_need_more_than_a_deadline_are_all_scored(caplog):
    """Each half of the batch exceeds the deadline too, and each text exceeds its share of the deadline."""
    slow = msgspec.structs.replace(SPEC, options={"pii": {"seconds_each": 1.5}})
    texts = [*(f"{row}{'a' * 100_000}" for row in range(4)), "short"]
    outcomes = {}
    async with running(slow, deadline_seconds=5.0) as pool:
        await pool.score([item_of(a_request("r1", text), ("pii",)) for text in texts], outcomes.__setitem__)
    assert list(outcomes) == [4, 0, 1, 2, 3], "the short text does not wait for the long texts"
    assert [failure_of(one) for one in outcomes.values()] == [None] * 5
    assert "halving" not in caplog.text


async def test_if_a_detector_raises_an_error_the_others_still_score():
    async with running() as pool:
        broken, whole = await scored(pool, "call 5551234 BUG-toxicity", "call 5551234")
    assert set(broken.scores) == {"pii"}
    assert broken.scores["pii"].flagged
    assert failure_of(broken) == Failed(disposition="bug", error="ValueError")
    assert set(whole.scores) == {"pii", "toxicity"}
    assert failure_of(whole) is None


async def test_a_pool_whose_idle_process_is_killed_continues_to_score():
    async with running() as pool:
        pid = next(iter(pool._pool._pool_manager.worker_manager.workers))
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while not isinstance((await scored(pool, "hello"))[0], Scored):
            assert time.monotonic() < deadline


async def test_an_idle_process_that_hangs_is_detected_after_a_deadline(monkeypatch):
    """The process never starts the task, so the task has no deadline.

    The time limit for loading models is five minutes.
    """
    monkeypatch.setattr(model_pool, "_GRACE_SECONDS", 1.0)
    async with running(deadline_seconds=1.0) as pool:
        await scored(pool, "hello")
        os.kill(next(iter(pool._pool._pool_manager.worker_manager.workers)), signal.SIGSTOP)
        with pytest.raises(ModelsLost, match="hang"):
            await scored(pool, "hello")


async def test_a_process_that_reloads_its_models_after_a_timeout_is_not_reported_as_hanging(monkeypatch):
    """Loading the models takes longer than a task may wait for a process with loaded models."""
    monkeypatch.setattr(model_pool, "_GRACE_SECONDS", 0.5)
    slow = msgspec.structs.replace(SPEC, options={"pii": {"load_seconds": 2.5}})
    async with running(slow, deadline_seconds=1.0) as pool:
        (late,) = await scored(pool, "a HANG")
        assert failure_of(late) == Failed(disposition="timeout", error="TimeoutError")
        assert failure_of((await scored(pool, "after"))[0]) is None


async def test_an_answer_with_a_deep_schema_does_not_prevent_the_scores_of_others():
    schema: dict[str, object] = {}
    for _ in range(900):
        schema = {"not": schema}
    deep = an_end(
        "r1",
        messages=(Choice(parts=(ToolCallPart(name="get", arguments="{}"),)),),
        tools=(DeclaredTool(name="get", parameters=schema),),
    )
    outcomes = {}
    async with running(msgspec.structs.replace(SPEC, detectors=("tools",), create=create_text)) as pool:
        items = [item_of(deep, ("tools",)), item_of(a_request("r2", "hello"), ("tools",))]
        async with asyncio.timeout(60):
            await pool.score(items, outcomes.__setitem__)
    assert isinstance(outcomes[0], Failed) or outcomes[0].scores["tools"].label == "error"
    assert outcomes[1].scores["tools"].label == "ok"


BROKEN = msgspec.structs.replace(SPEC, create=doubles.create_broken)


async def test_models_that_do_not_load_are_an_error():
    pool = ModelPool(BROKEN, **POOL)
    with pytest.raises(ModelsLost):
        await pool.start()
    assert not pool.loaded
    await pool.stop()


async def test_a_load_that_fails_while_the_pool_stops_is_cancelled(monkeypatch):
    """A process that is stopped can fail to load.

    The resulting ModelsLost would crash a worker that has received SIGTERM.
    """
    pool = ModelPool(BROKEN, **POOL)
    starting = asyncio.create_task(pool.start())
    await asyncio.sleep(0)
    processes = pool._pool
    monkeypatch.setattr(model_pool, "_end", lambda _processes: None)
    await pool.stop()
    with pytest.raises(asyncio.CancelledError):
        await starting
    processes.stop()
    processes.join()


def test_the_log_names_the_fix_for_a_detector_that_an_event_expects_and_that_cannot_be_loaded(caplog):
    """A detector without its package or weights; its error has no text of the event."""

    def create(name, _options):
        raise WeightsError("the language model is not installed: pip install fasttext-predict")

    process = ModelProcess(ModelSpec(threads=1, detectors=(), create=create, embedder=None))
    assert process.score([doubles.asked(detectors=("language",))])[0].scores == {}
    assert "language is expected and not available here" in caplog.text
    assert "pip install fasttext-predict" in caplog.text
