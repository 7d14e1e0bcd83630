"""F5: everything starts with the broker down."""

import random
import time
from typing import ClassVar

from chaos.journals import read_journals
from chaos.options import WorldOptions
from chaos.strike import Fault, Lab, Strike
from chaos.world import World, until

__all__ = ["NoBroker"]


class NoBroker(Fault):
    """Sources accept at once; delivery, scoring and watching begin when the broker is there and has its topics."""

    key: ClassVar[str] = "F5"
    what: ClassVar[str] = "everything starts with the broker down"
    round_strikes: ClassVar[int] = 1
    mutation: ClassVar[str] = "accept-asks-kafka"
    breaks: ClassVar[tuple[str, ...]] = ("F5",)
    fresh: ClassVar[bool] = True
    bound_seconds: ClassVar[float] = 90.0

    def open(self, options: WorldOptions) -> World:
        """Start everything but the broker."""
        return World(options).start(broker=False)

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Let it be away for a while, then start it."""
        world = lab.world
        away = chance.uniform(3.0, 12.0)
        strike.how = f"away for {away:.1f} s after the first accepted request"
        try:
            until("requests are accepted", lambda: read_journals(world.home).accepted, 20)
        except TimeoutError:
            strike.violations.append("F5: nothing was accepted without a broker")
        time.sleep(away)
        waiting = world.balance().spooled
        strike.bit = f"{waiting} records waited for a broker" if waiting else "nothing could be accepted"
        world.start_broker()
        world.create_topics()
