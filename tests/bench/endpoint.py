"""The endpoint with capture on against off: an echo engine, shipper and broker on, stream workers stopped in both arms."""

import asyncio
import contextlib
import statistics
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
from support.stack import Stack, running

from bench.rounds import Figure, in_turn
from weir.local.processes import COMPONENT_MARK, owned_processes
from weir.local.supervisord.held_components import stop_component

SECONDS = 8.0
CLIENTS = 8
PARTS = ("gateway", "model", "haproxy", "ray", "serve", "shipper", "broker", "?")
BODY = {
    "model": "echo",
    "messages": [{"role": "user", "content": "one two three four five six seven eight"}],
    "max_tokens": 8,
}


def name_of(process: psutil.Process) -> str:
    """Return the part of the stack that a process is; Ray's replicas and HAProxy are parts of their own."""
    title = " ".join(process.cmdline())
    for part in ("Gateway", "Model", "haproxy"):
        if part in title:
            return part.lower()
    return process.environ().get(COMPONENT_MARK, "?")


def cpu_seconds(processes: list[psutil.Process]) -> dict[str, float]:
    """Return the CPU time that each part of a stack has used."""
    spent: dict[str, float] = defaultdict(float)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            spent[name_of(process)] += times.user + times.system
    return dict(spent)


async def load(stack: Stack) -> dict[str, float]:
    """Ask as fast as eight clients can for a while; return requests/s, the 99th percentile and each part's CPU, in ms a request."""
    latencies: list[float] = []
    processes = [*owned_processes(stack.home), psutil.Process()]
    before = cpu_seconds(processes)
    deadline = time.monotonic() + SECONDS

    async def client(session: httpx.AsyncClient) -> None:
        while (began := time.monotonic()) < deadline:
            answer = await session.post("/v1/chat/completions", json=BODY)
            answer.raise_for_status()
            latencies.append(time.monotonic() - began)

    headers = {"Authorization": f"Bearer {stack.key}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=60) as session:
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
    spent = {part: 1000 * (after - before[part]) / len(latencies) for part, after in cpu_seconds(processes).items()}
    cpu = {f"CPU of {'client' if part == '?' else part}": spent[part] for part in PARTS if part in spent}
    return {"rate": len(latencies) / SECONDS, "p99": 1000 * statistics.quantiles(latencies, n=100)[98]} | cpu


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
        found = await in_turn(lambda: load(on), lambda: load(off), rounds=5)
    rate, p99 = found.pop("rate"), found.pop("p99")
    return [
        Figure(name="endpoint, capture on / off: requests", unit="1/s", left=rate[0], right=rate[1], aim=">= 0.97"),
        Figure(name="endpoint, capture on / off: p99", unit="ms", left=p99[0], right=p99[1], aim="<= 1.05"),
        *(Figure(name=name, unit="ms/req", left=one, right=other, aim="-") for name, (one, other) in found.items()),
    ]


if __name__ == "__main__":
    for figure in asyncio.run(measure()):
        print(figure.line())
