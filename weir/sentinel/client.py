"""Send the fixed prompts to the users' endpoint, one at a time, at a fixed interval, as tenant ``_weir``.

Decoding is greedy with a fixed seed, so an unchanged model returns the same answer. Capture, score and watch process these answers like all
others.
"""

import asyncio
import logging
import time
from collections.abc import Sequence

import httpx
from prometheus_client import CollectorRegistry, Counter, Histogram

from weir.home.ports import reachable
from weir.sentinel.prompts import SentinelPrompt

__all__ = ["SentinelClient", "endpoint"]

_LOG = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 120.0


def endpoint(host: str, port: int) -> str:
    """Return the base URL of the endpoint on `host` and `port` for programs on this machine."""
    return f"http://{reachable(host)}:{port}/v1"


class SentinelClient:
    """Sends a fixed set of prompts to the endpoint."""

    def __init__(  # noqa: PLR0913 - endpoint, prompts and pace
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
            "weir_sentinel_requests", "Sentinel prompts by outcome", ["outcome"], registry=registry
        )
        self._tokens = Counter(
            "weir_sentinel_tokens", "Tokens of sentinel requests by kind", ["kind"], registry=registry
        )
        self._seconds = Histogram(
            "weir_sentinel_seconds", "Time to the complete answer of a sentinel prompt", registry=registry
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Send prompts until `stop` is set."""
        number = 0
        async with self._client:
            while not stop.is_set():
                due = time.monotonic() + self._every
                outcome = await self.send(self._prompts[number % len(self._prompts)])
                number += outcome == "answered"  # a prompt without an answer is sent again
                try:
                    async with asyncio.timeout(max(0.0, due - time.monotonic())):
                        await stop.wait()
                except TimeoutError:
                    continue

    async def send(self, prompt: SentinelPrompt) -> str:
        """Send one prompt; return and count ``answered``, ``refused`` (an error status) or ``unreachable``."""
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
            _LOG.warning("no answer to sentinel prompt %s: %s", prompt.id, type(error).__name__)
        else:
            outcome = "answered" if response.is_success else "refused"
            if response.is_success:
                self._count(response.json(), time.monotonic() - began)
            else:
                _LOG.warning("sentinel prompt %s: status %d", prompt.id, response.status_code)
        self._requests.labels(outcome).inc()
        return outcome

    def _count(self, answer: dict[str, dict[str, int]], seconds: float) -> None:
        self._seconds.observe(seconds)
        for kind in ("prompt", "completion"):
            self._tokens.labels(kind).inc(answer.get("usage", {}).get(f"{kind}_tokens", 0))
