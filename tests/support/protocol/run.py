"""A life of a world: so many steps, rest, and what was violated."""

import asyncio
from collections.abc import Mapping

import msgspec

from support.protocol.checks import check_balance, check_rest
from support.protocol.commits import Commits
from support.protocol.record import Record
from support.protocol.steps import step
from support.protocol.virtual_time import START, VirtualLoop, run_virtual
from support.protocol.world import World, open_world

__all__ = ["INVARIANTS", "Life", "live"]

#: I10 is that a world comes to rest.
INVARIANTS = ("I1", "I2", "I3", "I4", "I5", "I6", "I9", "I10", "ledger", "no process ends by itself")


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What a world came to.

    Parameters
    ----------
    seed
        Lives it again.
    steps
        What happened.
    violations
        By invariant, the first that was seen.
    requests, records, seconds
        How many were accepted, written to the broker, and how long it was by its own clock.
    """

    seed: str
    steps: list[str]
    violations: dict[str, str]
    requests: int = 0
    records: int = 0
    seconds: float = 0.0


def live(seed: int | str, steps: int = 40, favoured: Mapping[str, int] | None = None) -> Life:
    """Live the world of `seed`; some steps may be favoured."""
    return run_virtual(seed, lambda loop: _live(str(seed), loop, steps, favoured or {}))  # type: ignore[no-any-return]


async def _live(seed: str, loop: VirtualLoop, steps: int, favoured: Mapping[str, int]) -> Life:
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
                world.violated("I10", _stuck(world))
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


def _stuck(world: World) -> str:
    committed = {place: end for group in world.kafka.groups.values() for place, end in group.committed.items()}
    behind = {
        f"{topic}-{number}": f"{committed.get((topic, number), 0)} of {len(log)}"
        for (topic, number), log in world.kafka.written.items()
        if not topic.endswith(("-changelog", "verdicts", "feedback", "dlq"))
        and committed.get((topic, number), 0) < len(log)
    }
    return f"{world.balance.read()}; committed {behind}"
