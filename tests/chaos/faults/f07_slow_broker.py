"""F7: connections to the broker that are slow, narrow, half-open, cut or refused, and a kill of a process meanwhile."""

import time

from chaos.proxy import Link
from chaos.strike import Fault

_LINKS = {
    "2 s of latency": Link(latency_seconds=2.0),
    "10 KB/s": Link(bytes_per_second=10_000),
    "half open": Link(half_open=True),
    "cut": Link(),
    "refusing": Link(refuse=True),
}
#: On a narrow connection, a worker needs this long to read a closed window, and as long to write it.
_NARROW, _NARROW_SECONDS = "10 KB/s", (4.0, 9.0)


class SlowBroker(Fault):
    """Degrades the connections, kills a worker or the shipper, and restores the connections.

    All connections are cut at the kill: records that the process had sent and the broker had not read are lost, as if its machine failed.
    """

    key = "F7"
    what = "2 s latency, 10 KB/s, half-open, cut or refused connections, and a worker or the shipper killed"
    wanted = 50
    mutation = "state-not-awaited"
    breaks = ("I3", "I4", "I5")
    bound_seconds = 90.0

    def strike(self, lab, chance, strike):
        """Degrade the connections for some seconds, and kill a process during this time."""
        world = lab.world
        kind = chance.choice(tuple(_LINKS))
        victim = chance.choice(("score", "watch", "watch", "shipper"))
        pause, bad = chance.uniform(0.5, 2.0), [chance.uniform(1.0, 4.0) for _ in range(2)]
        if kind == _NARROW:
            bad[0] = chance.uniform(*_NARROW_SECONDS)
        strike.how = f"{kind} for {sum(bad):.1f} s, {victim} killed after {bad[0]:.1f} s"
        time.sleep(pause)
        world.proxy.link = _LINKS[kind]
        connections = world.cut() if kind in {"cut", "refusing"} else world.proxy.connections
        time.sleep(bad[0])
        child = world.children[victim]
        child.wait_running()
        child.kill()
        world.cut()
        world.proxy.link = Link()  # only for the mark: the victim has no more records in flight
        lab.oracle.mark(strike)
        world.proxy.link = _LINKS[kind]
        spooled = world.balance().spooled
        child.start()
        time.sleep(bad[1])
        world.proxy.link = Link()
        strike.effect = f"{connections} connections, {spooled} records in the spool" if connections and spooled else ""
