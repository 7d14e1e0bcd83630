"""F2: kill -9 of a gateway's capture under load; another gateway comes, the dead one's spool is ended by the shipper."""

import random
import time
from typing import ClassVar

from chaos.journals import read_journals
from chaos.strike import Fault, Lab, Strike
from chaos.world import until

__all__ = ["SourceKill"]


class SourceKill(Fault):
    """A source: the recorder of a serving gateway, in a process of its own."""

    key: ClassVar[str] = "F2"
    what: ClassVar[str] = "kill -9 of a gateway's capture process under load"
    wanted: ClassVar[int] = 100
    round_strikes: ClassVar[int] = 10
    mutation: ClassVar[str] = "accepted-in-memory"
    breaks: ClassVar[tuple[str, ...]] = ("I1", "I2")
    together: ClassVar[bool] = True

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Kill one after a while, and start another; its spool must be ended, drained and removed."""
        world = lab.world
        wait = chance.uniform(1.0, 6.0)
        number = chance.randrange(100)
        time.sleep(wait)
        name = world.kill_a_source(number)
        strike.how = f"{name} after {wait:.2f} s"
        began = time.monotonic()
        journals = read_journals(world.home, name)
        open_ = len(journals.accepted - journals.ended)
        strike.bit = f"{open_} requests had no end" if open_ else ""
        world.add_source()
        spool = [world.spool / source for source in journals.sources]
        try:
            until(
                "its spool is ended and drained", lambda: not any(path.exists() for path in spool), self.bound_seconds
            )
        except TimeoutError as error:
            strike.violations.append(f"I10: {error}")
        strike.figures["aborted_after_seconds"] = round(time.monotonic() - began, 2)

    def standing(self, lab: Lab) -> dict[str, int]:
        """Nothing more: :meth:`strike` has waited."""
        del lab
        return {}

    def after(self, lab: Lab, strike: Strike) -> list[str]:
        """What :meth:`strike` waited for is the recovery."""
        del lab
        strike.recovery_seconds = strike.figures["aborted_after_seconds"]
        return []
