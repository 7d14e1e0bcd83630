"""Send the fixed prompts to the users' endpoint, one at a time, at a fixed interval, as tenant ``_weir``.

Sentinels: decoding is greedy with a fixed seed, so an unchanged model returns the same answer. Paired prompts: answers are sampled, and a
random one of the two is sent first, as the detector `bias` assumes. Capture, score and watch process all of these answers like users'
answers.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import httpx
from prometheus_client import CollectorRegistry, Counter, Histogram

from serving.decoded_json import count_of, mapping_of
from weir.home.ports import reachable
from weir.sentinel.pairs import PromptOfPair
from weir.sentinel.prompts import PROMPTS, SentinelPrompt

_LOG = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 120.0
_ANSWERED, _REFUSED = "answered", "refused"
#: A prompt that is refused so many times in a row, for example by a provider's content filter, must not stop the other prompts.
_REFUSALS = 3
_GREEDY: dict[str, float] = {"temperature": 0, "seed": 0}
_SAMPLED: dict[str, float] = {"temperature": 1}


def endpoint(host: str, port: int) -> str:
    """Return the base URL of the endpoint on `host` and `port` for programs on this machine."""
    return f"http://{reachable(host)}:{port}/v1"


class SentinelClient:
    """Sends the fixed prompts, and pairs of prompts if `pairs` is not empty, to the endpoint."""

    def __init__(  # noqa: PLR0913 - endpoint, pairs and pace
        self,
        base_url: str,
        model: str,
        key: str,
        *,
        every_seconds: float,
        max_tokens: int,
        registry: CollectorRegistry,
        pairs: Sequence[tuple[PromptOfPair, PromptOfPair]] = (),
        pairs_every_seconds: float = 120.0,
        pairs_max_tokens: int = 128,
    ) -> None:
        headers = {"authorization": f"Bearer {key}"}
        # The endpoint is on this machine, so no proxy of the environment may get the key.
        self._client = httpx.AsyncClient(base_url=base_url, timeout=_TIMEOUT_SECONDS, headers=headers, trust_env=False)
        self._model = model
        self._every = every_seconds
        self._max_tokens = max_tokens
        self._pairs = pairs
        self._pairs_every = pairs_every_seconds
        self._pairs_max_tokens = pairs_max_tokens
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
        """Send prompts and pairs until `stop` is set; then abandon a prompt that waits for its answer, perhaps for minutes."""
        async with self._client, asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._repeat(len(PROMPTS), 0, self._every, self._send_prompt))]
            if self._pairs:
                # A process that restarts often must not send the first pairs only.
                first = secrets.randbelow(len(self._pairs))
                repeated = self._repeat(len(self._pairs), first, self._pairs_every, self._send_pair)
                tasks.append(group.create_task(repeated))
            await stop.wait()
            for task in tasks:
                task.cancel()

    async def _repeat(self, count: int, first: int, every: float, send: Callable[[int], Awaitable[str]]) -> None:
        """Call `send` with the numbers below `count` in turn, from `first` on, until cancelled.

        A number without an answer is sent again; after `_REFUSALS` refusals, the next number is sent.
        """
        number, refusals = first, 0
        while True:
            due = time.monotonic() + every
            outcome = await send(number % count)
            refusals = refusals + 1 if outcome == _REFUSED else 0
            if outcome == _ANSWERED or refusals == _REFUSALS:
                number, refusals = number + 1, 0
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _send_prompt(self, number: int) -> str:
        return await self.send(PROMPTS[number])

    async def _send_pair(self, number: int) -> str:
        """Send both prompts of a pair, in random order; return the worst outcome: refused, unreachable, answered."""
        pair, first = self._pairs[number], secrets.randbelow(2)
        outcomes = {await self.send(prompt) for prompt in (pair[first], pair[1 - first])}
        return _REFUSED if _REFUSED in outcomes else min(outcomes - {_ANSWERED}, default=_ANSWERED)

    async def send(self, prompt: SentinelPrompt | PromptOfPair) -> str:
        """Send one prompt; return and count ``answered``, ``refused`` (an error status) or ``unreachable``."""
        greedy = isinstance(prompt, SentinelPrompt)
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt.text}],
            "max_tokens": self._max_tokens if greedy else self._pairs_max_tokens,
            **(_GREEDY if greedy else _SAMPLED),
        }
        outcome, began = "unreachable", time.monotonic()
        try:
            response = await self._client.post(
                "/chat/completions", json=body, headers={"x-weir-conversation-id": prompt.id}
            )
        except httpx.HTTPError as error:
            _LOG.warning("no answer to sentinel prompt %s: %s", prompt.id, type(error).__name__)
        else:
            outcome = _ANSWERED if response.is_success else _REFUSED
            if response.is_success:
                self._count(response.json(), time.monotonic() - began)
            else:
                _LOG.warning("sentinel prompt %s: status %d", prompt.id, response.status_code)
        self._requests.labels(outcome).inc()
        return outcome

    def _count(self, answer: Mapping[str, Any], seconds: float) -> None:
        self._seconds.observe(seconds)
        usage = mapping_of(answer.get("usage"))  # null if another server does not count tokens
        for kind in ("prompt", "completion"):
            self._tokens.labels(kind).inc(count_of(usage.get(f"{kind}_tokens")))
