"""Run one world: do a number of steps, bring the world to rest, and check the invariants."""

import asyncio
import random

import msgspec

from support.protocol.checks import check_balance, check_rest
from support.protocol.commits import Commits
from support.protocol.record import Record
from support.protocol.steps import step
from support.protocol.virtual_time import START, run_virtual
from support.protocol.world import open_world


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a world. `violations` has the first violation of each invariant; `seconds` is virtual time."""

    seed: str
    steps: list[str]
    violations: dict[str, str]
    requests: int
    records: int
    seconds: float


def live(seed, steps=40, favoured=None):
    """Run the world of `seed`; `favoured` multiplies the weights of some steps."""
    return run_virtual(seed, lambda loop: _live(str(seed), loop, steps, favoured or {}))


async def _live(seed, loop, steps, favoured):
    random.seed(f"pauses {seed}")  # of `stream.pause.BackOff`
    with open_world(seed, loop) as world:
        record = Record(world.kafka)
        world.kafka.on_commit.append(Commits(record, world.violated))
        done = []
        try:
            world.start()
            await asyncio.sleep(0.1)
            for _ in range(steps):
                done.append(await step(world, favoured))
                check_balance(world)
            if await world.rest():
                check_rest(world, record)
            else:
                world.violated("I10", f"{world.balance()}; {world.behind()} are not committed")
        finally:
            await world.end()
        return Life(
            seed=seed,
            steps=done,
            violations=world.violations,
            requests=len(world.accepted.requests),
            records=sum(map(len, world.kafka.written.values())),
            seconds=loop.time() - START,
        )
