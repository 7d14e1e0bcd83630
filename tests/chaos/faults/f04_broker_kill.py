"""F4: kill -9 of the broker, which stays away for a while; accepting must not notice, and the backlog must drain fast."""

import random
import time
from typing import ClassVar

from chaos.journals import accept_times
from chaos.options import WorldOptions
from chaos.strike import Fault, Lab, Strike
from chaos.world import until
from serving.capture.balance import Balance

__all__ = ["BrokerKill"]

_LONG_SECONDS = 300.0
_DRAIN_RATIO = 3.0
_SLACK_US = 5_000


class BrokerKill(Fault):
    """The broker; outages of 2 to 10 s, and one of 5 min in fifty strikes."""

    key: ClassVar[str] = "F4"
    what: ClassVar[str] = "kill -9 of the broker, away for 2 to 10 s; every fiftieth for 5 min"
    wanted: ClassVar[int] = 50
    mutation: ClassVar[str] = "sends-forgotten"
    breaks: ClassVar[tuple[str, ...]] = ("I4",)
    bound_seconds: ClassVar[float] = 90.0
    #: Few slow prompts: with the usual 2 % score took 250 to 280 events/s, and the long outage leaves 48,000 for its round's 150 s.
    options: ClassVar[WorldOptions] = WorldOptions(rate=40.0, slow_share=0.002)

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Kill it, keep it away, bring it back, and see the backlog go."""
        world = lab.world
        wait, away = chance.uniform(3.0, 6.0), chance.uniform(2.0, 10.0)
        away = _LONG_SECONDS if strike.number % 50 == 49 else away
        strike.how = f"after {wait:.2f} s, for {away:.1f} s"
        time.sleep(wait)
        killed = time.time()
        world.child("broker").kill(hold=True)
        time.sleep(away)
        back, balance = time.time(), world.balance()
        strike.bit = f"{balance.spooled} records waited in the spool" if balance.spooled else ""
        world.start_broker()
        self._drained(lab, strike, balance)
        self._latency(lab, strike, killed, back)

    def _drained(self, lab: Lab, strike: Strike, first: Balance) -> None:
        """How fast the backlog goes once the first record passes, against what arrives meanwhile."""
        world = lab.world
        until("records pass again", lambda: world.balance().delivered > first.delivered, 60, 0.02)
        began = time.monotonic()
        until("the backlog is gone", lambda: world.balance().spooled <= max(20, first.spooled // 20), 120, 0.02)
        seconds, end = max(time.monotonic() - began, 1e-3), world.balance()
        arrived = world.options.rate * world.options.sources * 2
        strike.figures["drain_ratio"] = round((end.delivered - first.delivered) / seconds / arrived, 2)

    def _latency(self, lab: Lab, strike: Strike, killed: float, back: float) -> None:
        healthy = accept_times(lab.world.home, killed - 30, killed)
        dead = accept_times(lab.world.home, killed, back)
        for name, times in (("p99_us_healthy", healthy), ("p99_us_dead", dead)):
            strike.figures[name] = float(sorted(times)[int(len(times) * 0.99)]) if times else -1.0

    def after(self, lab: Lab, strike: Strike) -> list[str]:
        """The bounds of F4."""
        del lab
        figures, found = strike.figures, []
        if figures["p99_us_dead"] < 0:
            found.append("F4: nothing was accepted while the broker was away")
        if figures["p99_us_dead"] > max(1.05 * figures["p99_us_healthy"], figures["p99_us_healthy"] + _SLACK_US):
            found.append(
                f"F4: accepting took {figures['p99_us_dead']} µs, {figures['p99_us_healthy']} µs with a broker"
            )
        if figures["drain_ratio"] < _DRAIN_RATIO:
            found.append(f"F4: the backlog drained at {figures['drain_ratio']} times the arrival rate, 3 are wanted")
        return found
