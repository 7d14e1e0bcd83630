"""F5: everything starts with the broker down."""

import time

from chaos.journals import read_journals
from chaos.options import WorldOptions
from chaos.strike import Fault


class NoBroker(Fault):
    """Starts all processes without a broker. Sources accept at once; the others begin when the broker runs and has its topics."""

    key = "F5"
    what = "everything starts with the broker down"
    round_strikes = 1
    mutation = "accept-asks-kafka"
    breaks = ("F5",)
    fresh = True
    bound_seconds = 90.0
    options = WorldOptions(broker=False)

    def strike(self, lab, chance, strike):
        """Start the broker some seconds after the first accepted request."""
        world = lab.world
        away = chance.uniform(3.0, 12.0)
        strike.how = f"away for {away:.1f} s after the first accepted request"
        strike.expect("F5", "requests are accepted without a broker", lambda: read_journals(world.home).accepted, 20)
        time.sleep(away)
        waiting = world.balance().spooled
        strike.effect = f"{waiting} records waited for a broker" if waiting else "nothing could be accepted"
        world.start_broker()
        world.create_topics()
