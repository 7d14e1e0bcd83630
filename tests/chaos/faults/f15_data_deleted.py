"""F15: a worker's folder is deleted, or the ledger's, or the broker's volume."""

import random
import shutil
import time
from typing import ClassVar

from chaos.faults.f01_worker_kill import kill_worker
from chaos.journals import read_journals
from chaos.oracle import Oracle
from chaos.strike import Fault, Lab, Strike
from chaos.world import until

__all__ = ["DataDeleted", "VolumeDeleted"]


class DataDeleted(Fault):
    """The folder of watch, of score or of the ledger is gone when it starts again."""

    key: ClassVar[str] = "F15.data"
    what: ClassVar[str] = "kill -9 of watch, score or the ledger, its data directory deleted"
    mutation: ClassVar[str] = "state-not-read"
    breaks: ClassVar[tuple[str, ...]] = ("I3", "I4", "I5")

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Kill one and delete its folder."""
        world = lab.world
        victim = chance.choice(("watch", "watch", "score", "ledger"))
        wait = chance.uniform(2.0, 4.0)
        strike.how = f"{victim} after {wait:.2f} s"
        time.sleep(wait)
        if victim == "ledger":
            self._ledger(lab, strike)
            return
        kill_worker(lab, victim, strike, lambda: shutil.rmtree(world.home / "data" / victim, ignore_errors=True))

    def _ledger(self, lab: Lab, strike: Strike) -> None:
        world = lab.world
        world.child("ledger").kill(hold=True)
        size = sum(path.stat().st_size for path in (world.home / "ledger").glob("*.db"))
        shutil.rmtree(world.home / "ledger")
        strike.bit = f"{size} bytes of the ledger were deleted" if size else ""
        world.child("ledger").start()
        until("the ledger has read the log again", lambda: world.meters.ledger_behind() < 60, self.bound_seconds)


class VolumeDeleted(Fault):
    """The broker comes back empty: what was delivered is gone; whoever needs topics says so, and goes on when they are made."""

    key: ClassVar[str] = "F15.volume"
    what: ClassVar[str] = "the broker's volume deleted: refusal, `weir topics create`, then everything goes on"
    wanted: ClassVar[int] = 20
    round_strikes: ClassVar[int] = 1
    mutation: ClassVar[str] = "producer-kept"
    breaks: ClassVar[tuple[str, ...]] = ("F15", "I10")
    fresh: ClassVar[bool] = True
    bound_seconds: ClassVar[float] = 150.0

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Delete it, wait for the refusal, make the topics anew, and look at what is accepted from then on."""
        world = lab.world
        wait = chance.uniform(1.0, 4.0)
        strike.how = f"after {wait:.2f} s"
        time.sleep(wait)
        world.child("broker").kill(hold=True)
        gone = world.format_broker()
        world.start_broker()
        strike.bit = f"{gone} bytes of the log were deleted" if gone else ""
        refusal = "run `weir topics create`"
        try:
            until("the shipper says what is missing", lambda: refusal in world.log_of("shipper"), 60)
        except TimeoutError as error:
            strike.violations.append(f"F15: {error}")
        world.create_topics()
        lab.oracle = Oracle(world, world.settings())
        lab.oracle.lost = read_journals(world.home).accepted
