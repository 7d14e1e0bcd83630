"""F6: workers join and leave a group all the time."""

import random
import time
from typing import ClassVar

from chaos.options import WorldOptions
from chaos.strike import Fault, Lab, Strike, progress

__all__ = ["ComingAndGoing"]


class ComingAndGoing(Fault):
    """A second worker of score or watch joins; one of the two leaves, in order or by kill -9; each change is a strike."""

    key: ClassVar[str] = "F6"
    what: ClassVar[str] = "a second worker of score or watch joins, or one of two leaves"
    wanted: ClassVar[int] = 50
    round_strikes: ClassVar[int] = 10
    mutation: ClassVar[str] = "tracker-off"
    breaks: ClassVar[tuple[str, ...]] = ("I5",)
    options: ClassVar[WorldOptions] = WorldOptions(second=("score", "watch"))

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Change the group of score or watch."""
        world = lab.world
        group = chance.choice(("score", "watch"))
        wait = chance.uniform(1.0, 5.0)
        both = (group, f"{group}-2")
        time.sleep(wait)
        running = [name for name in both if world.child(name).wanted]
        if len(running) == len(both):
            name, how = chance.choice(both), chance.choice(("leaves", "is killed"))
            world.child(name).kill(hold=True) if how == "is killed" else world.child(name).stop()
        else:
            name, how = next(name for name in both if name not in running), "joins"
            world.child(name).start()
        before = progress(world, group)[group]
        lab.oracle.mark(f"strike {strike.number} of {strike.fault}")
        strike.how = f"{name} {how}, after {wait:.2f} s"
        left = sum(lab.world.look.ends(self._source(world, group)).values()) - before
        strike.bit = f"{left} records were not committed" if left > 0 else ""

    def _source(self, world, group):
        names = world.names
        return (
            {names.inference: world.kafka.partitions}
            if group == "score"
            else {names.findings: world.kafka.stream_partitions}
        )

    def standing(self, lab: Lab) -> dict[str, int]:
        """Both groups must go on."""
        return progress(lab.world, "score", "watch")
