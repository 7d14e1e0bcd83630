"""The endpoint with capture on against off: an echo engine, shipper and broker on, stream workers stopped in both arms."""

import asyncio
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
from support.stack import Stack, running

from bench.rounds import Figure, in_turn
from weir.supervise.holds import stop_component

SECONDS = 8.0
CLIENTS = 8
BODY = {
    "model": "echo",
    "messages": [{"role": "user", "content": "one two three four five six seven eight"}],
    "max_tokens": 8,
}


async def load(url: str, key: str) -> dict[str, float]:
    """Ask as fast as eight clients can for a while; return requests/s and the 99th percentile in ms."""
    latencies: list[float] = []
    deadline = time.monotonic() + SECONDS

    async def client(session: httpx.AsyncClient) -> None:
        while (began := time.monotonic()) < deadline:
            answer = await session.post("/v1/chat/completions", json=BODY)
            answer.raise_for_status()
            latencies.append(time.monotonic() - began)

    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as session:
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
    return {"rate": len(latencies) / SECONDS, "p99": 1000 * statistics.quantiles(latencies, n=100)[98]}


def stacks(both: ExitStack) -> tuple[Stack, Stack]:
    quiet = {"WEIR_MODEL__NAME": "echo", "WEIR_MLFLOW__ENABLED": "false", "WEIR_TRACE__RATIO": "0"}
    pair = tuple(both.enter_context(running(**quiet, WEIR_CAPTURE__ENABLED=on)) for on in ("true", "false"))
    for stack in pair:
        for name in ("score", "watch", "ledger"):
            stop_component(Path(stack.home), name)
    return pair


async def measure() -> list[Figure]:
    with ExitStack() as both:
        on, off = stacks(both)
        found = await in_turn(lambda: load(on.url, on.key), lambda: load(off.url, off.key), rounds=5)
    rate, p99 = found["rate"], found["p99"]
    return [
        Figure(name="endpoint, capture on / off: requests", unit="1/s", left=rate[0], right=rate[1], aim=">= 0.97"),
        Figure(name="endpoint, capture on / off: p99", unit="ms", left=p99[0], right=p99[1], aim="<= 1.05"),
    ]
