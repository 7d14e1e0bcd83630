"""Send requests for the end-to-end tests: whole, streaming or cancelled by the client. Each outcome has Weir's request id."""

import asyncio
import itertools

import httpx
import msgspec

PROMPTS = (
    "How do I boil an egg?",
    "Name three herbs for a soup.",
    "What is a good book for a rainy day?",
    "How far is the moon?",
    "Write one line about the sea.",
)


class Outcome(msgspec.Struct, kw_only=True):
    kind: str
    status: int = 0
    request_id: str = ""
    text: str = ""
    done: bool = False


async def send(url, key, kind, prompt, *, max_tokens=6, seconds=300):
    """Send one request of `kind` (whole, stream, cancel) and return its outcome."""
    body = {
        "model": "smollm2-135m-instruct",
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": 64 if kind == "cancel" else max_tokens,
        "stream": kind != "whole",
    }
    outcome = Outcome(kind=kind)
    headers = {"Authorization": f"Bearer {key}"}
    # With `verify`, each client would read the machine's certificates: 30 ms of processor time.
    async with httpx.AsyncClient(base_url=url, timeout=seconds, headers=headers, verify=False) as client:
        try:
            async with client.stream("POST", "/v1/chat/completions", json=body) as response:
                outcome.status = response.status_code
                outcome.request_id = response.headers.get("x-request-id", "")
                async for line in response.aiter_lines():
                    outcome.text += line
                    if kind == "cancel" and line.startswith("data:"):
                        return outcome
                outcome.done = "[DONE]" in outcome.text if kind == "stream" else response.status_code == 200
        except httpx.HTTPError:
            outcome.status = outcome.status or -1
    return outcome


class Flight:
    """The number of requests in flight: sent and not ended."""

    def __init__(self):
        self.open = 0

    def __enter__(self):
        self.open += 1

    def __exit__(self, *_error):
        self.open -= 1


async def send_many(url, keys, kinds, concurrency=200, *, flight=None, max_tokens=lambda: 6):
    """Send one request for each of `kinds`, at most `concurrency` at a time; `max_tokens` is called when a request is sent."""
    gate = asyncio.Semaphore(concurrency)
    flight = flight or Flight()

    async def one(kind, key, prompt):
        async with gate:
            with flight:
                return await send(url, key, kind, prompt, max_tokens=max_tokens())

    jobs = zip(kinds, itertools.cycle(keys), itertools.cycle(PROMPTS), strict=False)
    return await asyncio.gather(*(one(*job) for job in jobs))
