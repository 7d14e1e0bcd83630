"""F3: kill -9 of the shipper: at any moment, with records in flight on a slow line, and between two of its effects."""

import random
import time
from typing import ClassVar

from chaos.crashpoints import POINTS, arm
from chaos.proxy import Link
from chaos.strike import Fault, Lab, Strike, progress
from chaos.world import World, until

__all__ = ["ShipperKill"]


class ShipperKill(Fault):
    """The shipper; each strike is of one of five kinds."""

    key: ClassVar[str] = "F3"
    what: ClassVar[str] = "kill -9 of the shipper, also between acknowledgement, cursor, unlink and removal"
    wanted: ClassVar[int] = 100
    round_strikes: ClassVar[int] = 10
    mutation: ClassVar[str] = "cursor-before-ack"
    breaks: ClassVar[tuple[str, ...]] = ("I1", "I2")
    together: ClassVar[bool] = True

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Kill it in one of five ways."""
        wait = chance.uniform(0.2, 3.0)
        kind = chance.choice(("at any moment", "on a slow line", *POINTS))
        passes = chance.randint(1, 3)
        strike.how = f"{kind}, after {wait:.2f} s"
        time.sleep(wait)
        if kind in POINTS:
            self._at(lab.world, kind, 1 if kind == POINTS[-1] else passes, strike)
            return
        slow = Link(latency_seconds=chance.uniform(0.2, 0.6))
        if kind == "on a slow line":
            lab.world.line(slow)
            time.sleep(chance.uniform(0.5, 1.5))
        lab.world.child("shipper").wait_running()
        lab.world.child("shipper").kill(hold=True)
        spooled = lab.world.balance().spooled
        strike.bit = f"{spooled} records were not known to be delivered" if spooled else ""
        lab.world.line(Link())
        lab.world.child("shipper").start()

    def _at(self, world: World, point: str, passes: int, strike: Strike) -> None:
        """Have it kill itself at a point; the one before a directory goes is passed when a source has ended."""
        child = world.child("shipper")
        before = child.wait_running()
        child.expect_death()
        arm(world.home, point, passes)
        if point == POINTS[-1]:
            world.kill_a_source(0)
            world.add_source()
        until(f"the shipper passes {point}", lambda: child.pid not in (before, None), 60)
        strike.bit = f"it died at pass {passes}"

    def standing(self, lab: Lab) -> dict[str, int]:
        """Records must come to inference again."""
        return progress(lab.world, "shipper")
