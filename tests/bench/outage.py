"""Latency of the endpoint with the broker killed, relative to running (F4). The request path does not use Kafka."""

import asyncio
import statistics
import time

import httpx
from support.running_broker import RunningBroker
from support.stack import Stack, running, until

from bench.endpoint import BODY
from bench.rounds import Figure, in_turn, local_broker
from serving.capture.balance import read_balance

SECONDS = 12.0
RATE = 25.0


async def load(stack: Stack) -> dict[str, float]:
    """Send requests at a constant rate, without waiting for earlier answers; return percentiles in ms."""
    latencies: list[float] = []

    async def one(session: httpx.AsyncClient) -> None:
        began = time.monotonic()
        answer = await session.post("/v1/chat/completions", json=BODY)
        answer.raise_for_status()
        latencies.append(1000 * (time.monotonic() - began))

    headers = {"Authorization": f"Bearer {stack.key}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=60) as session:
        tasks = []
        began = time.monotonic()
        for number in range(round(SECONDS * RATE)):
            await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
            tasks.append(asyncio.create_task(one(session)))
        await asyncio.gather(*tasks)
    cuts = statistics.quantiles(latencies, n=100)
    return {"p50": cuts[49], "p99": cuts[98]}


async def without(stack: Stack, broker: RunningBroker) -> dict[str, float]:
    """Measure while the broker is dead; then restart it and wait until the backlog is delivered."""
    broker.kill()
    try:
        return await load(stack)
    finally:
        broker.start()
        spool = stack.home / "spool"
        await asyncio.to_thread(until, "the backlog is gone", lambda: read_balance(spool).spooled < 5, 60)


async def measure() -> list[Figure]:
    """Return a figure for each percentile of both arms."""
    with local_broker() as (broker, _):
        settings = {"WEIR_MODEL__NAME": "echo", "WEIR_MLFLOW__ENABLED": "false", "WEIR_TRACE__RATIO": "0"}
        with running(**settings, WEIR_KAFKA__BOOTSTRAP_SERVERS=broker.bootstrap) as stack:
            found = await in_turn(lambda: without(stack, broker), lambda: load(stack), rounds=5)
    aims = {"p50": "-", "p99": "<= 1.05"}
    return [
        Figure(name=f"endpoint, broker dead / alive: {name}", unit="ms", left=dead, right=alive, aim=aims[name])
        for name, (dead, alive) in found.items()
    ]


if __name__ == "__main__":
    for figure in asyncio.run(measure()):
        print(figure.line())
