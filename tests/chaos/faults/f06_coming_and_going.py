"""F6: workers join and leave a group repeatedly."""

import time

from chaos.options import WorldOptions
from chaos.strike import Fault, progress


class ComingAndGoing(Fault):
    """Starts a second worker of score or watch, or ends one of the two, cleanly or by kill -9; each change is a strike."""

    key = "F6"
    what = "a second worker of score or watch joins, or one of two leaves"
    wanted = 50
    round_strikes = 10
    mutation = "tracker-off"
    breaks = ("I5",)
    parts = ("score", "watch")
    options = WorldOptions(second=("score", "watch"))

    def strike(self, lab, chance, strike):
        world = lab.world
        group = chance.choice(self.parts)
        pause = chance.uniform(1.0, 5.0)
        time.sleep(pause)
        both = {name: world.children[name] for name in (group, f"{group}-2")}
        stopped = [name for name, child in both.items() if not child.wanted]
        if stopped:
            name, how = stopped[0], "joins"
            both[name].start()
        else:
            name, how = chance.choice(tuple(both)), chance.choice(("leaves", "is killed"))
            both[name].kill() if how == "is killed" else both[name].stop()
        before = progress(world, group)[group]
        lab.oracle.mark(strike)
        strike.how = f"{name} {how}, after {pause:.2f} s"
        topic = world.names.inference if group == "score" else world.names.findings
        left = sum(world.look.ends({topic: world.counts()[topic]}).values()) - before
        strike.effect = f"{left} records were not committed" if left > 0 else ""
