"""Every request has its records and verdicts: with 200 concurrent requests, a killed broker, and killed processes."""

import asyncio
import json
import os
import re
import signal

import httpx
import msgspec
import psutil
import pytest
from support.load import Flight, send_many
from support.stack import until
from support.traces import connected, spans_when

from serving.capture.balance import read_balance
from weir.errors import NotFoundError
from weir.operate.request_story import read_story, shown

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(1200)]
EXPECTED = {"input": {"pii", "toxicity", "injection"}, "output": {"pii", "toxicity", "refusal", "repetition"}}

SPANS = {
    "POST /v1/chat/completions",
    "chat smollm2-135m-instruct",
    "send weir.inference",
    "process weir.inference",
    "evaluate pii",
    "evaluate toxicity",
    "evaluate injection",
}


def story_of(stack, request_id):
    """Return what ``weir show --json`` prints, without a process for each request."""
    return json.loads(msgspec.json.encode(shown(read_story(stack.home, request_id))))


def ends_are_read(stack, outcomes):
    """Return whether the ledger has the end of each request; it reads the log later than the shipper delivers the records."""
    try:
        return all(story_of(stack, outcome.request_id)["end"] for outcome in outcomes)
    except NotFoundError:
        return False


def assert_accounted(stack, outcomes):
    """Check that every accepted request has a request record, an end record, and a verdict of every expected detector."""
    until("the ends of the requests in the ledger", lambda: ends_are_read(stack, outcomes))
    stack.complete()
    first = outcomes[0].request_id
    assert stack.json("show", first)["verdicts"] == story_of(stack, first)["verdicts"]
    for outcome in outcomes:
        story = story_of(stack, outcome.request_id)
        assert story["end"]["status"] in {"complete", "cancelled", "aborted", "error"}, outcome
        sides = {side: {v["detector"] for v in story["verdicts"] if v["side"] == side} for side in EXPECTED}
        assert sides["input"] == EXPECTED["input"], outcome
        if story["end"]["status"] == "complete":  # a client that cancels may have read no text
            allowed = [EXPECTED["output"]] if has_text(outcome) else [EXPECTED["output"], set()]
            assert sides["output"] in allowed, outcome


def has_text(outcome):
    """Return whether the answer that the client read has text."""
    return re.search(r'"content":\s*"[^"]', outcome.text) is not None


def accepted(outcomes):
    return [outcome for outcome in outcomes if outcome.status == 200]


async def test_200_concurrent_requests_are_all_accounted_for(stack):
    keys = [stack.new_key("e2e-load") for _ in range(3)]
    kinds = [("whole", "stream", "whole", "stream", "cancel")[n % 5] for n in range(200)]
    outcomes = await send_many(stack.url, keys, kinds)
    assert [outcome.status for outcome in outcomes] == [200] * 200
    assert all(outcome.done for outcome in outcomes if outcome.kind != "cancel")
    assert len({outcome.request_id for outcome in outcomes}) == 200
    status = await asyncio.to_thread(stack.complete, 240)
    assert status["coverage"]["ratio"] == 1.0
    assert status["coverage"]["missing"] == 0
    some = outcomes[::3]  # of all kinds
    assert {outcome.kind for outcome in some if has_text(outcome)} >= {"whole", "stream"}
    await asyncio.to_thread(assert_accounted, stack, some)
    await asyncio.to_thread(assert_connected_traces, stack, outcomes)


def assert_connected_traces(stack, outcomes):
    for outcome in outcomes[:200:20]:
        story = story_of(stack, outcome.request_id)
        spans = spans_when(stack, story["trace_id"], SPANS)
        assert connected(spans), [span.name for span in spans]


async def test_a_killed_broker_loses_no_request(stack):
    key = stack.new_key("e2e-broker")
    os.kill(stack.pid("broker"), signal.SIGKILL)
    outcomes = await send_many(stack.url, [key], ["whole", "stream"] * 10, concurrency=4)
    assert all(outcome.status == 200 and outcome.done for outcome in outcomes)
    status = await asyncio.to_thread(stack.complete, 240)
    assert status["coverage"]["ratio"] == 1.0
    await asyncio.to_thread(assert_accounted, stack, outcomes[::3])


def replica_pids(stack, deployment):
    root = psutil.Process(stack.pid("ray"))
    return [p.pid for p in root.children(recursive=True) if f"{deployment}" in " ".join(p.cmdline())]


@pytest.mark.parametrize("victim", ["shipper", "score", "watch", "model"])
async def test_a_process_killed_under_load_loses_no_request(stack, victim):
    key = stack.new_key("e2e-kill")
    pids = replica_pids(stack, ":Model") if victim == "model" else [stack.pid(victim)]
    assert pids
    flight, spool = Flight(), stack.home / "spool"
    before = read_balance(spool).accepted
    # Until the kill, long answers, so that requests are on the replica when it is killed; few, because each needs seconds.
    count, killed = 6 if victim == "model" else 15, asyncio.Event()

    def tokens():
        return 200 if victim == "model" and not killed.is_set() else 12

    load = asyncio.create_task(
        send_many(stack.url, [key], ["whole", "stream"] * count, concurrency=6, flight=flight, max_tokens=tokens)
    )
    # More than six records: some of the first six requests have ended.
    await asyncio.to_thread(until, "accepted requests", lambda: read_balance(spool).accepted > before + 6, 60, 0.02)
    outstanding = flight.open
    killed.set()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert outstanding, "every request had ended before the kill"
    outcomes = await load
    answered = accepted(outcomes)
    assert answered
    if victim == "model":
        assert not all(outcome.done for outcome in outcomes), "no request was on the replica that was killed"
    else:
        assert len(answered) == len(outcomes)

    def healthy():
        try:
            ready = httpx.get(f"{stack.url}/readyz", timeout=5, verify=False).status_code == 200
        except httpx.HTTPError:
            return False
        return ready and stack.status()["healthy"]

    await asyncio.to_thread(until, f"healthy after the kill of {victim}", healthy, 60, 1)
    status = await asyncio.to_thread(stack.complete, 240)
    assert status["coverage"]["missing"] == 0
    await asyncio.to_thread(assert_accounted, stack, answered[::5])
