"""A flood at the endpoint: everybody is answered, what was accepted has its end, and memory follows what is held, not who asks."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from support.gateway import CAPACITY, KEY
from support.memory import MIB, forget_peak, peak_bytes
from support.spool import events_of

from stream.wire import RequestRecord, ResponseRecord

ROOT = Path(__file__).parents[3]
#: 350 KB in 700 words: a request, its prompt, its answer and its records are a few of these.
TEXT = " ".join(["w" * 500] * 700)
FLOOD = 300
#: A body of each request of the flood would be over 100 MiB; what is held twice over is a third of that.
SLACK_BYTES = 48 * MIB


@pytest.fixture
def gateway(tmp_path):
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}
    process = subprocess.Popen([sys.executable, "-m", "support.gateway", str(tmp_path)], env=environment)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "port").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline, "no gateway within 60 s"
            time.sleep(0.02)
        yield process.pid, f"http://127.0.0.1:{(tmp_path / 'port').read_text()}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def ask(url, count):
    """Send `count` requests at once; return their answers."""
    limits = httpx.Limits(max_connections=count, max_keepalive_connections=0)
    headers = {"authorization": f"Bearer {KEY}"}
    body = {"model": "echo", "messages": [{"role": "user", "content": TEXT}], "max_tokens": 50}
    async with httpx.AsyncClient(base_url=url, timeout=90, limits=limits, headers=headers, trust_env=False) as client:
        return await asyncio.gather(*(client.post("/v1/chat/completions", json=body) for _ in range(count)))


@pytest.mark.timeout(240)
async def test_a_flood_is_refused_in_openai_s_shape_and_memory_stays_where_it_was_at_capacity(gateway, tmp_path):
    pid, url = gateway
    for _ in range(3):
        calm = await ask(url, CAPACITY)
        assert {answer.status_code for answer in calm} == {200}
    at_capacity = peak_bytes(pid)
    forget_peak(pid)
    answers = await ask(url, FLOOD)
    assert peak_bytes(pid) - at_capacity < SLACK_BYTES
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 503}, statuses
    assert statuses[200] >= CAPACITY
    for answer in answers:
        if answer.status_code == 503:
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
            assert answer.json()["error"]["code"] == "queue_full"
            assert int(answer.headers["retry-after"]) >= 1
        assert len(answer.headers.get_list("x-request-id")) == 1
    events = [event for path in (tmp_path / "spool").glob("gateway-*") for event in events_of(path)]
    begun = {event.correlationid for event in events if isinstance(event.data, RequestRecord)}
    ended = {event.correlationid: event.data.status for event in events if isinstance(event.data, ResponseRecord)}
    answered = {answer.headers["x-request-id"] for answer in (*answers,) if answer.status_code == 200}
    assert begun == set(ended)
    assert answered <= {name for name, status in ended.items() if status == "complete"}
