"""F8: a slow head, a fast tail, a poison record beside it, then a kill."""

import random
import time
from typing import ClassVar

from chaos.faults.f01_worker_kill import kill_worker
from chaos.options import WorldOptions
from chaos.strike import Fault, Lab, Strike, progress

__all__ = ["SlowHead"]


class SlowHead(Fault):
    """Every tenth prompt keeps a model process busy for .4 s, while the other process overtakes it."""

    key: ClassVar[str] = "F8"
    what: ClassVar[str] = "slow heads, fast tails, poison beside them, then kill -9 of score"
    wanted: ClassVar[int] = 50
    round_strikes: ClassVar[int] = 10
    mutation: ClassVar[str] = "tracker-off"
    breaks: ClassVar[tuple[str, ...]] = ("I5",)
    options: ClassVar[WorldOptions] = WorldOptions(slow_share=0.1, rate=15.0)

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Put poison on every partition, and kill score right after."""
        world = lab.world
        wait, soon = chance.uniform(0.2, 2.0), chance.uniform(0.05, 1.0)
        strike.how = f"after {wait:.2f} s, {soon:.2f} s after the poison"
        time.sleep(wait)
        topic = world.names.inference
        world.look.produce((topic, number, None, chance.randbytes(40), []) for number in range(world.kafka.partitions))
        time.sleep(soon)
        kill_worker(lab, "score", strike)

    def standing(self, lab: Lab) -> dict[str, int]:
        """Score's commits must go on."""
        return progress(lab.world, "score")
