"""Send many requests at once to a gateway in its own process, and measure the gateway's peak memory."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx

from support.gateway import CAPACITY, KEY
from support.memory import forget_peak, peak_bytes
from support.stack import until

ROOT = Path(__file__).parents[2]
#: 350 KB in 700 words. The gateway holds this text several times per request: body, prompt, answer, records.
TEXT = " ".join(["w" * 500] * 700)


@contextlib.contextmanager
def gateway(home: Path):
    """Run a gateway over `home`; yield its pid and address."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}
    process = subprocess.Popen([sys.executable, "-m", "support.gateway", str(home)], env=environment)
    try:
        until("the gateway has a port", lambda: process.poll() is not None or (home / "port").exists())
        yield process.pid, f"http://127.0.0.1:{(home / 'port').read_text()}"
    finally:
        process.kill()
        process.wait()


async def ask(url: str, count: int) -> list[httpx.Response]:
    """Send `count` requests at once; return their answers."""
    limits = httpx.Limits(max_connections=count, max_keepalive_connections=0)
    headers = {"authorization": f"Bearer {KEY}"}
    body = {"model": "echo", "messages": [{"role": "user", "content": TEXT}], "max_tokens": 50}
    async with httpx.AsyncClient(base_url=url, timeout=90, limits=limits, headers=headers, trust_env=False) as client:
        return await asyncio.gather(*(client.post("/v1/chat/completions", json=body) for _ in range(count)))


async def peaks(pid: int, url: str, flood: int) -> tuple[int, int, list[httpx.Response]]:
    """Return the peak memory at capacity, the peak with `flood` requests at once, and the answers to the flood."""
    for _ in range(3):
        calm = await ask(url, CAPACITY)
        assert {answer.status_code for answer in calm} == {200}
    at_capacity = peak_bytes(pid)
    forget_peak(pid)
    answers = await ask(url, flood)
    return at_capacity, peak_bytes(pid), answers


async def flood_peaks(home: Path, flood: int) -> tuple[int, int, str]:
    """Return both peaks, and the number of answers with each status as text."""
    home.mkdir()
    with gateway(home) as (pid, url):
        at_capacity, in_flood, answers = await peaks(pid, url, flood)
    counts = Counter(answer.status_code for answer in answers)
    return at_capacity, in_flood, ", ".join(f"{number} x {status}" for status, number in sorted(counts.items()))
