"""F4: kill -9 of the broker and an outage; sources must accept requests as before, and the backlog must drain fast."""

import time

from chaos.journals import accept_times
from chaos.options import WorldOptions
from chaos.strike import Fault
from chaos.world import until

_LONG_SECONDS = 300.0
_DRAIN_RATIO = 3.0
_SLACK_US = 5_000


class BrokerKill(Fault):
    """Kills the broker; outages of 2 to 10 s, and every fiftieth of 5 min."""

    key = "F4"
    what = "kill -9 of the broker, away for 2 to 10 s; every fiftieth for 5 min"
    wanted = 50
    mutation = "sends-forgotten"
    breaks = ("I4",)
    bound_seconds = 90.0
    pause = (3.0, 6.0)
    #: Few slow prompts: with the default of 2 %, score processes 250 to 280 events/s, too few to drain the 48,000 events of the
    #: long outage in the 150 s of its round.
    options = WorldOptions(rate=40.0, slow_share=0.002)

    def strike(self, lab, chance, strike):
        """Kill the broker, restart it later, and measure the acceptance times and the drain rate."""
        world = lab.world
        away = chance.uniform(2.0, 10.0)
        away = _LONG_SECONDS if strike.number % 50 == 49 else away
        strike.how += f", for {away:.1f} s"
        killed = time.time()
        world.children["broker"].kill()
        time.sleep(away)
        back, balance = time.time(), world.balance()
        strike.effect = f"{balance.spooled} records waited in the spool" if balance.spooled else ""
        world.start_broker()
        self._drained(world, strike, balance)
        self._latency(world, strike, killed, back)

    def _drained(self, world, strike, first):
        """Compare the drain rate of the backlog, from the first delivered record on, with the arrival rate."""
        until("records pass again", lambda: world.balance().delivered > first.delivered, 60, 0.02)
        began = time.monotonic()
        until("the backlog is gone", lambda: world.balance().spooled <= max(20, first.spooled // 20), 120, 0.02)
        seconds, end = max(time.monotonic() - began, 1e-3), world.balance()
        arrived = world.options.rate * world.options.sources * 2
        ratio = strike.figures["drain_ratio"] = round((end.delivered - first.delivered) / seconds / arrived, 2)
        strike.require_speed(
            ratio >= _DRAIN_RATIO, f"F4: the backlog drained at {ratio} times the arrival rate, the bound is 3"
        )

    def _latency(self, world, strike, killed, back):
        healthy, dead = (
            _p99(accept_times(world.home, since, until)) for since, until in ((killed - 30, killed), (killed, back))
        )
        strike.figures |= {"p99_us_healthy": healthy, "p99_us_dead": dead}
        strike.require(dead >= 0, "F4: nothing was accepted while the broker was away")
        bound = max(1.05 * healthy, healthy + _SLACK_US)
        strike.require_speed(dead <= bound, f"F4: accepting took {dead} µs, {healthy} µs with a broker")


def _p99(times):
    return float(sorted(times)[int(len(times) * 0.99)]) if times else -1.0
