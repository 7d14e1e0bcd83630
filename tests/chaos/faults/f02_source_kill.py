"""F2: kill -9 of a gateway's capture under load; another gateway starts, and the shipper ends the spool of the dead gateway."""

import time

from chaos.journals import read_journals
from chaos.strike import Fault


class SourceKill(Fault):
    """Kills a source: the recorder of a serving gateway, in its own process."""

    key = "F2"
    what = "kill -9 of a gateway's capture process under load"
    wanted = 100
    round_strikes = 10
    mutation = "accepted-in-memory"
    breaks = ("I1", "I2")
    together = True
    pause = (1.0, 6.0)

    def strike(self, lab, chance, strike):
        """Kill a source and start another. The recovery ends when the dead source's spool is ended, drained and removed."""
        world = lab.world
        name = world.kill_a_source(chance.randrange(100))
        strike.how = f"{name} {strike.how}"
        began = time.monotonic()
        journals = read_journals(world.home, name)
        unended = len(journals.accepted - journals.ended)
        strike.effect = f"{unended} requests had no end" if unended else ""
        world.add_source()
        spools = [world.spool / source for source in journals.sources]
        drained = "its spool is ended and drained"
        strike.expect("I10", drained, lambda: not any(path.exists() for path in spools), self.bound_seconds)
        strike.recovery_seconds = round(time.monotonic() - began, 2)
