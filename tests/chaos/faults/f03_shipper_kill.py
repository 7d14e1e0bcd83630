"""F3: kill -9 of the shipper: at any time, with records in flight on a slow connection, and between two of its effects."""

import time

from chaos.crashpoints import POINTS, arm
from chaos.proxy import Link
from chaos.strike import Fault
from chaos.world import until


class ShipperKill(Fault):
    """Kills the shipper; each strike is of one of five kinds."""

    key = "F3"
    what = "kill -9 of the shipper, also between acknowledgement, cursor, unlink and removal"
    wanted = 100
    round_strikes = 10
    mutation = "cursor-before-ack"
    breaks = ("I1", "I2")
    together = True
    pause = (0.2, 3.0)
    parts = ("shipper",)

    def strike(self, lab, chance, strike):
        world = lab.world
        kind, passes = chance.choice(("at any moment", "on a slow line", *POINTS)), chance.randint(1, 3)
        strike.how = f"{kind}, {strike.how}"
        if kind in POINTS:
            self._at(world, kind, 1 if kind == POINTS[-1] else passes, strike)
            return
        slow, wait = Link(latency_seconds=chance.uniform(0.2, 0.6)), chance.uniform(0.5, 1.5)
        if kind == "on a slow line":
            world.proxy.link = slow
            time.sleep(wait)
        child = world.children["shipper"]
        child.wait_running()
        child.kill()
        spooled = world.balance().spooled
        strike.effect = f"{spooled} records were not known to be delivered" if spooled else ""
        world.proxy.link = Link()
        child.start()

    def _at(self, world, point, passes, strike):
        """Let the shipper kill itself at a point; it passes the last point only after a source has ended."""
        child = world.children["shipper"]
        before = child.wait_running()
        child.expect_death()
        arm(world.home, point, passes)
        if point == POINTS[-1]:
            world.kill_a_source(0)
            world.add_source()
        until(f"the shipper passes {point}", lambda: child.pid not in (before, None), 60)
        strike.effect = f"the shipper killed itself at pass {passes}"
