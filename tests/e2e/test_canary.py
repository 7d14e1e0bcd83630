"""An operator promotes a noise adapter to a canary, which is rolled back, and no request fails.

The challenger is the default model with a LoRA adapter of noise, whose answers are repetitive. The detector ``repetition`` decides.
"""

import asyncio
import json
import os
import shutil
import signal
import time

import httpx
import pytest
from support.noise_adapter import noise_version
from support.stack import until

from serving.engine.fetch_model import ensure
from stream.loop.training.job import TrainingJob
from stream.wire.route_files import BASE
from weir.operate.routes import routes

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(900)]
GOOD = "m_900d900d900d"
TENANT = "e2e-canary"
TOPICS = ("soup", "the moon", "rivers", "bread", "trains", "music", "winter", "tea", "maps", "clouds")


@pytest.fixture(scope="module", autouse=True)
def good(stack):
    """Write the version `GOOD`, whose file is that of the default model."""
    folder = stack.home / "loop" / "models" / GOOD
    folder.mkdir(parents=True)
    shutil.copyfile(ensure("smollm2-135m-instruct").path / "model.gguf", folder / "model.gguf")


@pytest.fixture(scope="module")
def noise(stack):
    """Return a version of the default model with a noise adapter."""
    files = ensure("smollm2-135m-instruct")
    job = TrainingJob(
        tenant=TENANT, model="smollm2-135m-instruct", base=str(files.path), base_digest=files.digest, dataset="",
        dataset_digest="d" * 64,
    )  # fmt: skip
    return noise_version(stack.home, job, noise=4.0)


class Traffic:
    """Send one request each second, each in a separate conversation; record (time, version, whether the answer is repetitive)."""

    def __init__(self, stack, key):
        self.client = httpx.AsyncClient(
            base_url=stack.url, headers={"authorization": f"Bearer {key}"}, timeout=300, trust_env=False
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
    """Return the route as `weir route show` prints it."""
    found = stack.json("route", "show", "--tenant", TENANT)
    return found[0] if found else None


def route(stack):
    return next(iter(routes(stack.home, tenant=TENANT)), None)


def version_now(stack, key):
    body = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    headers = {"authorization": f"Bearer {key}"}
    answer = httpx.post(f"{stack.url}/v1/chat/completions", json=body, headers=headers, timeout=300, trust_env=False)
    assert answer.status_code == 200
    return answer.headers["x-weir-model-version"]


async def test_a_canary_with_a_noise_adapter_is_rolled_back_within_60_requests_and_no_request_fails(stack, noise):
    key = stack.new_key(TENANT)
    stack.weir("models", "promote", noise, "--tenant", TENANT, "--reason", "a test")
    await asyncio.to_thread(until, "the canary begins", lambda: (now := route(stack)) and now.challenger == noise)
    traffic = Traffic(stack, key)
    rolled_back: list[float] = []
    watched = stack.home / "routes.json"

    def ended():
        if json.loads(watched.read_text())["routes"][0].get("challenger", "") == "" and not rolled_back:
            rolled_back.append(time.monotonic())
        return bool(rolled_back)

    await traffic.run(240, ended)
    assert rolled_back, (
        f"not rolled back; {len(traffic.answers)} answers, {[v for _, v, _ in traffic.answers].count(noise)} of the canary"
    )
    assert traffic.failed == []
    first = min(at for at, version, _ in traffic.answers if version == noise)
    print(f"rolled back {rolled_back[0] - first:.1f} s after the first answer of the bad canary")
    assert sum(at >= first for at, _, _ in traffic.answers) <= 60
    (record,) = [line for line in stack.json_lines("retraining") if line["state"] == "rolled_back"]
    assert "repetition" in record["reason"]
    assert shown(stack)["weights"] == {BASE: 100}
    await asyncio.to_thread(until, "the base answers", lambda: version_now(stack, key) == "b179c9523d0e", 10)


async def test_a_promoted_version_answers_and_a_kill_works_while_kafka_is_stopped(stack):
    key = stack.new_key(TENANT)
    stack.weir("models", "promote", GOOD, "--tenant", TENANT, "--reason", "a test", "--now")
    await asyncio.to_thread(until, "the new version answers", lambda: version_now(stack, key) == GOOD, 60)
    await asyncio.to_thread(until, "the promotion is published", lambda: route(stack).epoch == 3, 30)
    cards = httpx.get(f"{stack.url}/v1/models", headers={"authorization": f"Bearer {key}"}, trust_env=False).json()
    assert cards["data"][0]["weir"] == {"version": GOOD, "route": "champion", "weight": 100}
    broker = stack.pid("broker")
    os.kill(broker, signal.SIGSTOP)
    try:
        stack.weir("route", "kill", "--tenant", TENANT, "--reason", "a test")
        await asyncio.to_thread(until, "the base answers", lambda: version_now(stack, key) != GOOD, 10)
    finally:
        os.kill(broker, signal.SIGCONT)
    await asyncio.to_thread(until, "the kill is published", lambda: route(stack).epoch == 4, 90)
    assert shown(stack)["weights"] == {BASE: 100}
