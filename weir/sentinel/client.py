"""Asks the fixed prompts through the endpoint that users ask, one at a time, at a fixed pace, as Weir's own tenant.

Decoding is greedy with a fixed seed, so that an unchanged model on unchanged serving gives an unchanged answer. What becomes of the
answers is the stream's: capture, score and watch treat them as any others, under tenant ``_weir``.
"""

import asyncio
import logging
import time
from collections.abc import Sequence

import httpx
from prometheus_client import CollectorRegistry, Counter, Histogram

from weir.home.ports import reachable
from weir.sentinel.prompts import SentinelPrompt

__all__ = ["Sentinel", "endpoint"]

_LOG = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 120.0


def endpoint(host: str, port: int) -> str:
    """Return the base URL of the endpoint that listens on `host` and `port`, as this machine reaches it."""
    return f"http://{reachable(host)}:{port}/v1"


class Sentinel:
    """A client of the endpoint with a fixed set of prompts.

    Parameters
    ----------
    base_url
        ``http://host:port/v1``.
    model
        Name of the model to ask.
    key
        API key of Weir's own tenant.
    prompts
        Asked in turn.
    every_seconds
        Between two prompts.
    max_tokens
        Of an answer, at most.
    registry
        Where the metrics are shown; users' metrics leave the sentinels out.
    """

    def __init__(  # noqa: PLR0913 - what it asks, of whom, and how often
        self,
        base_url: str,
        model: str,
        key: str,
        prompts: Sequence[SentinelPrompt],
        *,
        every_seconds: float,
        max_tokens: int,
        registry: CollectorRegistry,
    ) -> None:
        self._client = httpx.AsyncClient(
            base_url=base_url, timeout=_TIMEOUT_SECONDS, headers={"authorization": f"Bearer {key}"}
        )
        self._model = model
        self._prompts = prompts
        self._every = every_seconds
        self._max_tokens = max_tokens
        self._requests = Counter(
            "weir_sentinel_requests", "Sentinel prompts, by what became of them", ["outcome"], registry=registry
        )
        self._tokens = Counter("weir_sentinel_tokens", "Tokens of sentinels, by kind", ["kind"], registry=registry)
        self._seconds = Histogram("weir_sentinel_seconds", "Time to a sentinel's whole answer", registry=registry)

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until `stop` is set."""
        number = 0
        async with self._client:
            while not stop.is_set():
                due = time.monotonic() + self._every
                outcome = await self.ask(self._prompts[number % len(self._prompts)])
                number += outcome == "answered"  # a prompt that got no answer is asked again
                try:
                    await asyncio.wait_for(stop.wait(), max(0.0, due - time.monotonic()))
                except TimeoutError:
                    continue

    async def ask(self, prompt: SentinelPrompt) -> str:
        """Ask one prompt; return ``answered``, ``refused`` (by status) or ``unreachable``, which is counted too."""
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt.text}],
            "max_tokens": self._max_tokens,
            "temperature": 0,
            "seed": 0,
        }
        outcome, began = "unreachable", time.monotonic()
        try:
            response = await self._client.post(
                "/chat/completions", json=body, headers={"x-weir-conversation-id": prompt.id}
            )
        except httpx.HTTPError as error:
            _LOG.warning("sentinel %s got no answer: %s", prompt.id, type(error).__name__)
        else:
            outcome = "answered" if response.is_success else "refused"
            if response.is_success:
                self._count(response.json(), time.monotonic() - began)
            else:
                _LOG.warning("sentinel %s was refused with status %d", prompt.id, response.status_code)
        self._requests.labels(outcome).inc()
        return outcome

    def _count(self, answer: dict[str, dict[str, int]], seconds: float) -> None:
        self._seconds.observe(seconds)
        for kind in ("prompt", "completion"):
            self._tokens.labels(kind).inc(answer.get("usage", {}).get(f"{kind}_tokens", 0))
