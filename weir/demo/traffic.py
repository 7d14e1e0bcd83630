"""Send the demo's requests to the endpoint with several API keys, a few at a time."""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Sequence

import httpx
import msgspec

_CONCURRENCY = 6
_MAX_TOKENS = 16
_TIMEOUT_SECONDS = 120.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Prompt, request id (``x-request-id``) and HTTP status of an answer; the status is 0 if there was no answer."""

    prompt: str
    request_id: str
    status: int


class Traffic:
    """A client that sends requests to the endpoint, each with the next of its API keys."""

    def __init__(self, base_url: str, model: str, keys: Sequence[str]) -> None:
        # The endpoint is on this machine, so no proxy of the environment may get the keys.
        self._client = httpx.AsyncClient(base_url=base_url, timeout=_TIMEOUT_SECONDS, trust_env=False)
        self._model = model
        self._keys = itertools.cycle(keys)
        self.answers: list[Answer] = []

    async def send(
        self, prompts: Iterable[str], on_answer: Callable[[Answer], None], *, max_tokens: int = _MAX_TOKENS
    ) -> None:
        """Send `prompts`, at most six at a time, and call `on_answer` with each answer of at most `max_tokens`."""
        queue = iter(prompts)

        async def worker() -> None:
            for prompt in queue:
                answer = await self._ask(prompt, next(self._keys), max_tokens)
                self.answers.append(answer)
                on_answer(answer)

        await asyncio.gather(*(worker() for _ in range(_CONCURRENCY)))

    async def _ask(self, prompt: str, key: str, max_tokens: int) -> Answer:
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        try:
            response = await self._client.post(
                "/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}
            )
        except httpx.HTTPError:
            return Answer(prompt=prompt, request_id="", status=0)
        request_id = response.headers.get("x-request-id", "")
        return Answer(prompt=prompt, request_id=request_id, status=response.status_code)

    async def correct(self, request_id: str, answer: str) -> bool:
        """Send a better answer to a request, as a reviewer does; return whether it was accepted."""
        headers = {"Authorization": f"Bearer {next(self._keys)}"}
        body = {"request_id": request_id, "correction": answer}
        try:
            response = await self._client.post("/feedback", json=body, headers=headers)
        except httpx.HTTPError:
            return False
        return response.is_success

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
