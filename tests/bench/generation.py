"""Tokens/s over HTTP: eight requests at once against one, and against ``transformers serve`` on the same weights."""

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from support.stack import Stack, free_port, until

from bench.rounds import Figure, in_turn
from weir.local.supervisord.held_components import stop_component

TOKENS = 64
#: Begins with a number of its own in each request: users do not send the same prompt, and a cache of prefixes would skip it.
PROMPT = (
    "{number}. Tell me about the history of sailing ships, from the first rafts to the clippers, in plain words. " * 3
)


async def ask(url: str, key: str, model: str) -> int:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": PROMPT.format(number=secrets.randbelow(10**6))}],
        "max_tokens": TOKENS,
        "temperature": 0,
        "stream": True,
    }
    pieces = 0
    async with (
        httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=300) as client,
        client.stream(
            "POST", "/v1/chat/completions", json=body | {"stream_options": {"include_usage": True}}
        ) as answer,
    ):
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            pieces += '"content"' in line
    return pieces


async def tokens_per_second(url: str, key: str, model: str, at_once: int) -> dict[str, float]:
    """Every answer is `TOKENS` long (greedy, and the model goes on): count what was asked for."""
    began = time.monotonic()
    await asyncio.gather(*(ask(url, key, model) for _ in range(at_once)))
    return {"rate": at_once * TOKENS / (time.monotonic() - began)}


@contextmanager
def transformers_serve(model: Path, dtype: str) -> Iterator[str]:
    """The peer: transformers' own server with continuous batching, offline, on loopback."""
    port = free_port()
    command = [
        str(Path(sys.executable).with_name("transformers")),
        "serve",
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--continuous-batching", "--dtype", dtype, "--device", "cpu"),
    ]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        until("transformers serve", answers, 180)
        yield url
    finally:
        process.terminate()
        process.wait(30)


async def measure(stack: Stack, model: str, directory: Path) -> list[Figure]:
    """Compare; the last figure is of serving alone, and leaves what watches it stopped."""

    def ours(at_once: int = 8) -> Awaitable[dict[str, float]]:
        return tokens_per_second(stack.url, stack.key, model, at_once)

    def figure(name: str, found: Mapping[str, tuple[float, float]], aim: str) -> Figure:
        left, right = found["rate"]
        return Figure(name=name, unit="tokens/s", left=left, right=right, aim=aim)

    figures = [figure("tokens over HTTP, 8 requests / 1", await in_turn(ours, lambda: ours(1)), ">= 3.5")]
    with transformers_serve(directory, "float32") as peer:

        def theirs() -> Awaitable[dict[str, float]]:
            return tokens_per_second(peer, "no-key", str(directory), 8)

        figures.append(figure("8 requests, Weir / transformers serve (float32)", await in_turn(ours, theirs), ">= 2"))
        for name in ("mlflow", "score", "watch", "ledger", "shipper"):
            stop_component(Path(stack.home), name)
        figures.append(figure("the same, Weir's serving alone", await in_turn(ours, theirs), "-"))
    return figures
