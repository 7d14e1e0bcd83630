"""Compare the endpoint with capture on and off, list the causes of capture's CPU time, and compare with LiteLLM's proxy.

Both endpoints have an echo engine, shipper and broker; the stream workers are stopped. The CPU time that capture adds to the gateway is
measured again with the shippers stopped, because on two cores they take caches and time from the gateway. LiteLLM answers with a text
of its configuration, so no model server uses the cores. ``LITELLM=/path/to/litellm`` names the command of an environment with
``litellm[proxy]``.
"""

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
from support.stack import Stack, free_port, running

from bench import capture_cost
from bench.rounds import Figure, in_turn
from weir.local.processes import COMPONENT_MARK, owned_processes

SECONDS = 8.0
CLIENTS = 8
ROUNDS = 7
PROXY_START_SECONDS = 90
TEXT = "one two three four five six seven eight"
PARTS = ("gateway", "model", "haproxy", "ray", "serve", "shipper", "broker", "?")
BODY = {
    "model": "echo",
    "messages": [{"role": "user", "content": TEXT}],
    "max_tokens": 8,
}


def name_of(process: psutil.Process) -> str:
    """Return the name of the part of the stack to which a process belongs; Ray's replicas and HAProxy are separate parts."""
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


async def load(url: str, key: str, others: list[psutil.Process]) -> dict[str, float]:
    """Send requests from eight clients without pause; return requests/s, p99 in ms, and each part's CPU time in ms per request."""
    latencies: list[float] = []
    processes = [*others, psutil.Process()]
    before = cpu_seconds(processes)
    deadline = time.monotonic() + SECONDS

    async def client(session: httpx.AsyncClient) -> None:
        while (began := time.monotonic()) < deadline:
            answer = await session.post("/v1/chat/completions", json=BODY)
            answer.raise_for_status()
            latencies.append(time.monotonic() - began)

    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as session:
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
    spent = {part: 1000 * (after - before[part]) / len(latencies) for part, after in cpu_seconds(processes).items()}
    cpu = {f"CPU of {'client' if part == '?' else part}": spent[part] for part in PARTS if part in spent}
    return {"rate": len(latencies) / SECONDS, "p99": 1000 * statistics.quantiles(latencies, n=100)[98]} | cpu


async def load_stack(stack: Stack) -> dict[str, float]:
    return await load(stack.url, stack.key, owned_processes(stack.home))


@contextlib.contextmanager
def litellm_proxy() -> Iterator[tuple[str, psutil.Process] | None]:
    """Start LiteLLM's proxy; yield its URL and process, or None if it is not installed."""
    command = os.environ.get("LITELLM", str(Path(sys.executable).with_name("litellm")))
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config, log = Path(folder) / "config.yaml", Path(folder) / "log"
        config.write_text(
            "model_list:\n  - model_name: echo\n    litellm_params:\n      model: openai/echo\n      api_key: none\n"
            f"      mock_response: {TEXT}\n"
        )
        with log.open("wb") as output:
            process = subprocess.Popen(
                [command, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)],
                env=os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
                stdout=output,
                stderr=output,
            )
        try:
            url = f"http://127.0.0.1:{port}"
            yield (url, psutil.Process(process.pid)) if is_ready(url, process) else None
        finally:
            process.kill()
            process.wait()


def is_ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the proxy answers; return False if its process ends (packages are missing) or the time limit has passed."""
    deadline = time.monotonic() + PROXY_START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/health/liveliness", trust_env=False).status_code == 200:
                return True
        time.sleep(0.5)
    return False


async def beside_litellm(stack: Stack) -> list[str]:
    """Compare the endpoint with LiteLLM's proxy, measured alternately."""
    if not Path(os.environ.get("LITELLM", Path(sys.executable).with_name("litellm"))).exists():
        return ["LiteLLM's proxy: not installed"]
    with litellm_proxy() as proxy:
        if proxy is None:
            return ["LiteLLM's proxy: not installed (the command litellm has no proxy; install litellm[proxy])"]
        url, process = proxy
        found = await in_turn(lambda: load_stack(stack), lambda: load(url, "none", [process]))
    return [
        Figure(name=f"endpoint with capture / LiteLLM: {name}", unit=unit, left=left, right=right, aim="-").line()
        for name, unit, (left, right) in (("requests", "1/s", found["rate"]), ("p99", "ms", found["p99"]))
    ]


def stacks(both: ExitStack) -> tuple[Stack, Stack]:
    quiet = {"WEIR_MODEL__NAME": "echo", "WEIR_MLFLOW__ENABLED": "false", "WEIR_TRACE__RATIO": "0"}
    pair = tuple(both.enter_context(running(**quiet, WEIR_CAPTURE__ENABLED=on)) for on in ("true", "false"))
    for stack in pair:
        stack.stop("score", "watch", "ledger")
    return pair


async def measure() -> list[str]:
    with ExitStack() as both:
        on, off = stacks(both)
        found = await in_turn(lambda: load_stack(on), lambda: load_stack(off), ROUNDS)
        litellm = await beside_litellm(on)
        for stack in (on, off):
            stack.stop("shipper")
        alone = await in_turn(lambda: load_stack(on), lambda: load_stack(off), ROUNDS)
    rate, p99 = found.pop("rate"), found.pop("p99")
    left, right = found["CPU of gateway"]
    figures = [
        Figure(name="endpoint, capture on / off: requests", unit="1/s", left=rate[0], right=rate[1], aim=">= 0.97"),
        Figure(name="endpoint, capture on / off: p99", unit="ms", left=p99[0], right=p99[1], aim="<= 1.1"),
        *(Figure(name=name, unit="ms/req", left=one, right=other, aim="-") for name, (one, other) in found.items()),
    ]
    causes = [one.line() for one in await capture_cost.measure()]
    without = alone["CPU of gateway"]
    added = [
        f"capture adds to the gateway {left - right:25.3f} ms/req   aim -",
        f"capture adds to the gateway, shippers stopped {without[0] - without[1]:8.3f} ms/req   aim <= 0.08",
    ]
    return [*(figure.line() for figure in figures), *added, *causes, *litellm]


if __name__ == "__main__":
    for line in asyncio.run(measure()):
        print(line)
