"""F16: SIGSTOP of a worker past its session timeout, while another takes over; then it goes on."""

import random
import signal
import time
from typing import ClassVar

from chaos.options import WorldOptions
from chaos.strike import Fault, Lab, Strike, progress

__all__ = ["Zombie"]


class Zombie(Fault):
    """One of two workers of a group sleeps for 14 to 20 s (the session timeout is 10 s) and wakes in the middle of its work.

    Both stand still for 2 to 4 s before, so that it falls asleep over a backlog: one that was idle has nothing old to write.
    """

    key: ClassVar[str] = "F16"
    what: ClassVar[str] = "SIGSTOP of one of two workers past its session timeout, then SIGCONT"
    round_strikes: ClassVar[int] = 4
    mutation: ClassVar[str] = "any-generation"
    breaks: ClassVar[tuple[str, ...]] = ("I3", "I4", "I5")
    bound_seconds: ClassVar[float] = 90.0
    options: ClassVar[WorldOptions] = WorldOptions(second=("score", "watch"))

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Stop one, and let it go on."""
        world = lab.world
        victim = chance.choice(("score", "score-2", "watch", "watch-2"))
        wait, gathered, asleep = chance.uniform(1.0, 3.0), chance.uniform(2.0, 4.0), chance.uniform(14.0, 20.0)
        into = chance.uniform(0.05, 0.5)
        strike.how = f"{victim} after {wait:.2f} s, {into:.2f} s into a backlog of {gathered:.1f} s, for {asleep:.1f} s"
        time.sleep(wait)
        group = victim.split("-")[0]
        before = progress(world, group)[group]
        both = [world.child(name) for name in (group, f"{group}-2")]
        for child in both:
            child.wait_running()
        for signum, pause in ((signal.SIGSTOP, gathered), (signal.SIGCONT, into)):
            for child in both:
                child.send(signum)
            time.sleep(pause)
        world.child(victim).send(signal.SIGSTOP)
        time.sleep(asleep)
        moved = progress(world, group)[group] - before
        lab.oracle.mark(f"strike {strike.number} of {strike.fault}")
        world.child(victim).send(signal.SIGCONT)
        strike.bit = f"the other finished {moved} records meanwhile" if moved > 0 else ""
