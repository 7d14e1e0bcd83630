"""Tokens/s over HTTP of eight requests at once, relative to one request."""

import asyncio
import secrets
import time
from functools import partial

import httpx
from support.stack import Stack

from bench.rounds import Figure, in_turn

TOKENS = 64
#: Each request begins with a different number: users do not send equal prompts, and a prefix cache would skip equal ones.
PROMPT = (
    "{number}. Tell me about the history of sailing ships, from the first rafts to the clippers, in plain words. " * 3
)


async def ask(url: str, key: str, model: str, **fields: bool) -> int:
    body = fields | {
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


async def tokens_per_second(url: str, key: str, model: str, at_once: int, **fields: bool) -> dict[str, float]:
    """Send `at_once` requests with the additional `fields`; return tokens/s, assuming that each answer has `TOKENS` tokens."""
    began = time.monotonic()
    await asyncio.gather(*(ask(url, key, model, **fields) for _ in range(at_once)))
    return {"rate": at_once * TOKENS / (time.monotonic() - began)}


async def measure(stack: Stack, model: str) -> list[Figure]:
    """Compare eight requests with one: on the whole stack, then with mlflow, score, watch, ledger and shipper stopped.

    These components stay stopped.
    """

    async def figure(name: str, aim: str) -> Figure:
        arms = [partial(tokens_per_second, stack.url, stack.key, model, at_once) for at_once in (8, 1)]
        left, right = (await in_turn(*arms))["rate"]
        return Figure(name=name, unit="tokens/s", left=left, right=right, aim=aim)

    figures = [await figure("tokens over HTTP, 8 requests / 1", ">= 3.5")]
    stack.stop("mlflow", "score", "watch", "ledger", "shipper")
    return [*figures, await figure("the same, Weir's serving alone", "-")]
