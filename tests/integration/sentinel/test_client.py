"""The sentinel client with a real gateway: it sends the prompts in turn, and they are recorded for Weir's own tenant."""

import asyncio
from itertools import islice

import pytest
from prometheus_client import CollectorRegistry
from support.flood import gateway
from support.kafka_log import until
from support.scripted_upstream import ERROR, WHOLE, Answer, scripted_upstream
from support.spool import events_of

from stream.wire import OWN_TENANT, RequestRecord, ResponseRecord
from weir.home.api_keys import ensure_own_key, list_keys
from weir.sentinel.client import SentinelClient
from weir.sentinel.pairs import PAIRS
from weir.sentinel.prompts import PROMPTS


def sentinel(url, key, registry, every_seconds=0.05, **pairs):
    return SentinelClient(
        f"{url}/v1", "echo", key, every_seconds=every_seconds, max_tokens=8, registry=registry, **pairs
    )


async def test_prompts_are_sent_in_turn_as_weirs_own_tenant(tmp_path):
    registry, stop = CollectorRegistry(), asyncio.Event()

    def answered():
        return registry.get_sample_value("weir_sentinel_requests_total", {"outcome": "answered"}) or 0

    with gateway(tmp_path) as (_, url):
        key = ensure_own_key(tmp_path)
        running = asyncio.create_task(sentinel(url, key, registry).run(stop))
        await until("an answer to each prompt", lambda: answered() > len(PROMPTS))
        stop.set()
        await running
    assert registry.get_sample_value("weir_sentinel_tokens_total", {"kind": "completion"}) > 0
    events = [event for path in (tmp_path / "spool").glob("gateway-*") for event in events_of(path)]
    asked = [event.data for event in events if isinstance(event.data, RequestRecord)]
    ended = [event.data for event in events if isinstance(event.data, ResponseRecord)]
    assert {data.tenant for data in (*asked, *ended)} == {OWN_TENANT}
    assert {data.owed for data in asked} == {()}
    assert [data.conversation_id for data in islice(asked, len(PROMPTS))] == [prompt.id for prompt in PROMPTS]
    assert asked[0].text == asked[len(PROMPTS)].text == PROMPTS[0].text
    assert {(data.parameters["temperature"], data.parameters["seed"]) for data in asked} == {(0, 0)}
    assert {data.principal for data in asked} == {k.id for k in list_keys(tmp_path) if k.tenant == OWN_TENANT}


async def test_refused_requests_and_an_unreachable_gateway_are_counted(tmp_path):
    registry = CollectorRegistry()
    with gateway(tmp_path) as (_, url):
        refused = sentinel(url, "weir-of-nobody", registry)
        assert await refused.send(PROMPTS[0]) == "refused"
    assert await refused.send(PROMPTS[0]) == "unreachable"
    assert registry.get_sample_value("weir_sentinel_requests_total", {"outcome": "refused"}) == 1


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": None, "completion_tokens": -1}, [3]])
async def test_an_answer_without_valid_token_counts_is_counted_as_answered(usage):
    registry, stop = CollectorRegistry(), asyncio.Event()
    outcome = {"outcome": "answered"}
    async with scripted_upstream() as server:
        server.script = [Answer.json(WHOLE | {"usage": usage})]
        running = asyncio.create_task(sentinel(server.url.removesuffix("/v1"), "weir-key", registry).run(stop))
        await until(
            "two answers",
            lambda: running.done() or (registry.get_sample_value("weir_sentinel_requests_total", outcome) or 0) >= 2,
        )
        stop.set()
        await running
    assert registry.get_sample_value("weir_sentinel_tokens_total", {"kind": "completion"}) == 0


async def test_both_prompts_of_a_pair_are_sent_and_sampled(tmp_path):
    registry, stop = CollectorRegistry(), asyncio.Event()
    with gateway(tmp_path) as (_, url):
        pairs = {"pairs": PAIRS[:2], "pairs_every_seconds": 0.05, "pairs_max_tokens": 9}
        client = sentinel(url, ensure_own_key(tmp_path), registry, every_seconds=60, **pairs)
        running = asyncio.create_task(client.run(stop))
        outcome = {"outcome": "answered"}
        await until(
            "six answers", lambda: (registry.get_sample_value("weir_sentinel_requests_total", outcome) or 0) >= 6
        )
        stop.set()
        await running
    events = [event for path in (tmp_path / "spool").glob("gateway-*") for event in events_of(path)]
    asked = [event.data for event in events if isinstance(event.data, RequestRecord)]
    sent = [data for data in asked if data.conversation_id != PROMPTS[0].id]
    assert {data.conversation_id: data.text for data in sent[:4]} == {p.id: p.text for pair in PAIRS[:2] for p in pair}
    wanted = {"temperature": 1, "max_tokens": 9}
    assert [data.parameters for data in sent[:4]] == [wanted] * 4, "without a seed, so that answers can differ"


async def test_a_prompt_that_is_always_refused_does_not_stop_the_others():
    """A provider's content filter can refuse one prompt with 400, also at every attempt."""
    stop = asyncio.Event()
    async with scripted_upstream() as server:
        server.script = [Answer.json(ERROR, status=400)]
        pairs = {"pairs": PAIRS[:2], "pairs_every_seconds": 0.01}
        client = sentinel(server.url.removesuffix("/v1"), "weir-key", CollectorRegistry(), 0.01, **pairs)
        running = asyncio.create_task(client.run(stop))
        everything = {prompt.text for prompt in (*PROMPTS, *PAIRS[0], *PAIRS[1])}
        await until("all prompts", lambda: {body["messages"][0]["content"] for body in server.bodies} == everything)
        stop.set()
        await running
    sent = [body["messages"][0]["content"] for body in server.bodies if "seed" in body]
    assert sent[:4] == [PROMPTS[0].text] * 3 + [PROMPTS[1].text]


async def test_a_gateway_that_does_not_answer_delays_no_stop():
    stop, asked, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hold(_reader, writer):
        asked.set()
        await ended.wait()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        running = asyncio.create_task(sentinel(f"http://127.0.0.1:{port}", "weir-key", CollectorRegistry()).run(stop))
        await asked.wait()
        stop.set()
        done, _ = await asyncio.wait({running}, timeout=30)
        ended.set()
        await running
    assert done
