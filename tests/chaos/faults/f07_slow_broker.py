"""F7: a broker that is slow, behind a narrow line, or half open, and a worker that is killed meanwhile, with all that it had under way."""

import random
import time
from typing import ClassVar

from chaos.proxy import Link
from chaos.strike import Fault, Lab, Strike

__all__ = ["SlowBroker"]

_LINKS = {
    "2 s of latency": Link(latency_seconds=2.0),
    "10 KB/s": Link(bytes_per_second=10_000),
    "half open": Link(half_open=True),
    "cut": Link(),
    "refusing": Link(refuse=True),
}
#: On a narrow line a closed window takes so long to be read, and as long again to be written.
_NARROW, _NARROW_SECONDS = "10 KB/s", (4.0, 9.0)


class SlowBroker(Fault):
    """The line gets bad, a worker is killed, the line gets good again.

    Every connection is cut at the kill: what the worker had sent and the broker had not read is lost, as when its machine dies.
    """

    key: ClassVar[str] = "F7"
    what: ClassVar[str] = (
        "2 s latency, 10 KB/s, half-open, cut or refused connections, and a worker or the shipper killed"
    )
    wanted: ClassVar[int] = 50
    mutation: ClassVar[str] = "state-not-awaited"
    breaks: ClassVar[tuple[str, ...]] = ("I3", "I4", "I5")
    bound_seconds: ClassVar[float] = 90.0

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Spoil the line for some seconds, and kill somebody in the middle."""
        world = lab.world
        kind = chance.choice(tuple(_LINKS))
        victim = chance.choice(("score", "watch", "watch", "shipper"))
        wait, bad = chance.uniform(0.5, 2.0), [chance.uniform(1.0, 4.0) for _ in range(2)]
        if kind == _NARROW:
            bad[0] = chance.uniform(*_NARROW_SECONDS)
        strike.how = f"{kind} for {sum(bad):.1f} s, {victim} killed after {bad[0]:.1f} s"
        time.sleep(wait)
        world.line(_LINKS[kind])
        connections = world.cut() if kind in {"cut", "refusing"} else world.proxy.connections
        time.sleep(bad[0])
        world.child(victim).wait_running()
        world.child(victim).kill(hold=True)
        world.cut()
        world.line(Link())  # for the look alone: nothing of the victim's is under way any more
        lab.oracle.mark(f"strike {strike.number} of {self.key}")
        world.line(_LINKS[kind])
        spooled = world.balance().spooled
        world.child(victim).start()
        time.sleep(bad[1])
        world.line(Link())
        strike.bit = f"{connections} connections, {spooled} records in the spool" if connections and spooled else ""
