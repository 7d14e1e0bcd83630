"""A damaged version in a canary is rolled back within a minute of its first flagged answer, and no request fails.

The challenger is the default model with noise in its weights, so that it repeats itself. The detector ``repetition`` decides.
"""

import asyncio
import json
import os
import shutil
import signal
import time

import httpx
import pytest
from support.damaged_gguf import damaged
from support.stack import running, until

from serving.engine.fetch_model import ensure
from stream.wire.route_files import BASE

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(900)]
BAD, GOOD = "m_bad0bad0bad0", "m_900d900d900d"
TENANT = "e2e-canary"
TOPICS = ("soup", "the moon", "rivers", "bread", "trains", "music", "winter", "tea", "maps", "clouds")


@pytest.fixture(scope="module")
def stack(broker_kind):
    detectors = {"WEIR_DETECTORS__INPUT": '["pii"]', "WEIR_DETECTORS__OUTPUT": '["repetition"]'}
    settings = {"WEIR_KAFKA__BROKER": broker_kind, "WEIR_DELIVERY__ENABLED": "true", "WEIR_MLFLOW__ENABLED": "false"}
    with running(**settings, **detectors) as started:
        weights = ensure("smollm2-135m-instruct").path / "model.gguf"
        for version in (BAD, GOOD):
            (started.home / "loop" / "models" / version).mkdir(parents=True)
        damaged(weights, started.home / "loop" / "models" / BAD / "model.gguf", noise=4.0, tensors="attn_v")
        shutil.copyfile(weights, started.home / "loop" / "models" / GOOD / "model.gguf")
        yield started


class Traffic:
    """One request each second, each a conversation of its own; keeps (time, version, repeats itself)."""

    def __init__(self, stack, key):
        self.client = httpx.AsyncClient(
            base_url=stack.url, headers={"authorization": f"Bearer {key}"}, timeout=60, trust_env=False
        )
        self.answers: list[tuple[float, str, bool]] = []
        self.failed: list[int] = []

    async def ask(self, number):
        body = {
            "model": "smollm2-135m-instruct",
            "messages": [{"role": "user", "content": f"Write one sentence about {TOPICS[number % len(TOPICS)]}."}],
            "max_tokens": 32,
            "temperature": 0,
        }
        answer = await self.client.post("/v1/chat/completions", json=body)
        if answer.status_code != 200:
            self.failed.append(answer.status_code)
            return
        words = answer.json()["choices"][0]["message"]["content"]
        version = answer.headers["x-weir-model-version"]
        self.answers.append((time.monotonic(), version, len(set(words)) < 12))

    async def run(self, seconds, enough):
        asked, began = [], time.monotonic()
        while time.monotonic() - began < seconds and not enough():
            asked.append(asyncio.create_task(self.ask(len(asked))))
            await asyncio.sleep(1)
        await asyncio.gather(*asked)
        await self.client.aclose()


def shown(stack):
    routes = stack.json("route", "show", "--tenant", TENANT)
    return routes[0] if routes else None


def version_now(stack, key):
    body = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    headers = {"authorization": f"Bearer {key}"}
    answer = httpx.post(f"{stack.url}/v1/chat/completions", json=body, headers=headers, timeout=60, trust_env=False)
    assert answer.status_code == 200
    return answer.headers["x-weir-model-version"]


async def test_a_bad_canary_is_rolled_back_within_a_minute_and_no_request_fails(stack):
    key = stack.new_key(TENANT)
    stack.weir("models", "promote", BAD, "--tenant", TENANT, "--reason", "a test")
    await asyncio.to_thread(until, "the canary begins", lambda: (shown(stack) or {}).get("challenger") == BAD)
    traffic = Traffic(stack, key)
    rolled_back: list[float] = []
    watched = stack.home / "routes.json"

    def ended():
        if json.loads(watched.read_text())["routes"][0].get("challenger", "") == "" and not rolled_back:
            rolled_back.append(time.monotonic())
        return bool(rolled_back)

    await traffic.run(240, ended)
    assert rolled_back, (
        f"not rolled back; {len(traffic.answers)} answers, {[v for _, v, _ in traffic.answers].count(BAD)} of the canary"
    )
    assert traffic.failed == []
    first = min(at for at, version, _ in traffic.answers if version == BAD)
    seconds = rolled_back[0] - first
    print(f"rolled back {seconds:.1f} s after the first answer of the bad canary")
    assert seconds < 60
    (record,) = [line for line in stack.json_lines("retraining") if line["state"] == "rolled_back"]
    assert "repetition" in record["reason"]
    assert shown(stack)["weights"] == {BASE: 100}
    await asyncio.to_thread(until, "the base answers", lambda: version_now(stack, key) == "b179c9523d0e", 10)


async def test_a_promoted_version_answers_and_a_kill_works_while_kafka_does_not(stack):
    key = stack.new_key(TENANT)
    stack.weir("models", "promote", GOOD, "--tenant", TENANT, "--reason", "a test", "--now")
    await asyncio.to_thread(until, "the new version answers", lambda: version_now(stack, key) == GOOD, 60)
    await asyncio.to_thread(until, "it is published", lambda: shown(stack)["epoch"] == 3, 30)
    cards = httpx.get(f"{stack.url}/v1/models", headers={"authorization": f"Bearer {key}"}, trust_env=False).json()
    assert cards["data"][0]["weir"] == {"version": GOOD, "route": "champion", "weight": 100}
    broker = stack.pid("broker")
    os.kill(broker, signal.SIGSTOP)
    try:
        stack.weir("route", "kill", "--tenant", TENANT, "--reason", "a test")
        written = time.monotonic()
        while version_now(stack, key) == GOOD:
            assert time.monotonic() - written < 2
            await asyncio.sleep(0.1)
    finally:
        os.kill(broker, signal.SIGCONT)
    await asyncio.to_thread(until, "the kill is published", lambda: shown(stack)["epoch"] == 4, 90)
    assert shown(stack)["weights"] == {BASE: 100}
