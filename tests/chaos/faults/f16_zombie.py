"""F16: SIGSTOP of a worker past its session timeout, while another worker gets its partitions; then SIGCONT."""

import signal
import time

from chaos.options import WorldOptions
from chaos.strike import Fault, progress


class Zombie(Fault):
    """Stops one of two workers of a group for 14 to 20 s (the session timeout is 10 s), then continues it in the middle of its work.

    Before that, both workers are stopped for 2 to 4 s, so that they have a backlog: an idle worker would have no old state to write.
    """

    key = "F16"
    what = "SIGSTOP of one of two workers past its session timeout, then SIGCONT"
    round_strikes = 4
    mutation = "any-generation"
    breaks = ("I3", "I4", "I5")
    bound_seconds = 90.0
    options = WorldOptions(second=("score", "watch"))

    def strike(self, lab, chance, strike):
        world = lab.world
        victim = chance.choice(("score", "score-2", "watch", "watch-2"))
        pause, gathered, asleep = chance.uniform(1.0, 3.0), chance.uniform(2.0, 4.0), chance.uniform(14.0, 20.0)
        into = chance.uniform(0.05, 0.5)
        strike.how = (
            f"{victim} after {pause:.2f} s, {into:.2f} s into a backlog of {gathered:.1f} s, for {asleep:.1f} s"
        )
        time.sleep(pause)
        group = victim.split("-")[0]
        before = progress(world, group)[group]
        both = [world.children[name] for name in (group, f"{group}-2")]
        for child in both:
            child.wait_running()
        for signum, seconds in ((signal.SIGSTOP, gathered), (signal.SIGCONT, into)):
            for child in both:
                child.send(signum)
            time.sleep(seconds)
        world.children[victim].send(signal.SIGSTOP)
        time.sleep(asleep)
        moved = progress(world, group)[group] - before
        lab.oracle.mark(strike)
        world.children[victim].send(signal.SIGCONT)
        strike.effect = f"the other worker finished {moved} records meanwhile" if moved > 0 else ""
