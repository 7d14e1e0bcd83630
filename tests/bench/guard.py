"""CPU time that the guard adds per token: eight answers at once through `Guard.push`, without a model."""

import asyncio
import re
import time

from prometheus_client import CollectorRegistry

from bench.rounds import Figure, in_turn
from serving.gateway.guard import Guard, Guards
from serving.gateway.tenant_settings import guard_settings

AT_ONCE, TOKENS = 8, 4096
#: Time between two tokens of an answer: 400 tokens/s over all answers.
PAUSE_SECONDS = 0.02
#: A text without a finding, because the guard stops checking after a finding, and with numbers, which the PII patterns check.
TEXT = (
    "Sailing ships carried 1,200 tons of tea from China in 1866. The Taeping won the race by 28 minutes after 99 days at "
    "sea, and its crew of 34 shared the prize. Steam was cheaper from 1869 on, when the Suez Canal opened.\n"
)


async def answer(guard: Guard | None, pieces: list[str]) -> None:
    for number, piece in enumerate(pieces, 1):
        if guard is not None:
            await guard.push(piece, number)
        await asyncio.sleep(PAUSE_SECONDS)
    if guard is not None:
        assert await guard.finish() is None  # after a finding, nothing is checked


async def main() -> None:
    tenants = {"*": {"guard": {"mode": "observe", "threshold": {"toxicity": 1}}}}
    guards, settings = Guards(tenants, CollectorRegistry()), guard_settings(tenants)("acme")
    await guards.load()
    found = re.findall(r"\s*\S{1,5}", TEXT)  # about the length of a token
    tokens = (found * (TOKENS // len(found) + 1))[:TOKENS]
    share = TOKENS // AT_ONCE

    async def cpu(*, guarded: bool) -> dict[str, float]:
        began = time.process_time()
        await asyncio.gather(
            *(
                answer(Guard(settings, guards) if guarded else None, tokens[part * share :][:share])
                for part in range(AT_ONCE)
            )
        )
        return {"cpu": (time.process_time() - began) / TOKENS * 1e6}

    left, right = (await in_turn(lambda: cpu(guarded=True), lambda: cpu(guarded=False)))["cpu"]
    guards.close()
    print(Figure(name="CPU of a token, with the guard / without", unit="us", left=left, right=right, aim="-").line())
    added = (left - right) / 1e6
    print(f"at 100 tokens/s of all answers, the guard uses {added * 100:.2%} of a core")


asyncio.run(main())
