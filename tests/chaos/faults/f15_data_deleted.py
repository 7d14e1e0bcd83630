"""F15: the folder of a worker or of the ledger, or the broker's volume, is deleted."""

import shutil
import time

from chaos.faults.f01_worker_kill import kill_worker
from chaos.journals import read_journals
from chaos.oracle import Oracle
from chaos.strike import Fault
from chaos.world import until


class DataDeleted(Fault):
    """Kills watch, score or the ledger, and deletes its folder before the restart."""

    key = "F15.data"
    what = "kill -9 of watch, score or the ledger, its data directory deleted"
    mutation = "state-not-read"
    breaks = ("I3", "I4", "I5")

    def strike(self, lab, chance, strike):
        world = lab.world
        victim = chance.choice(("watch", "watch", "score", "ledger"))
        pause = chance.uniform(2.0, 4.0)
        strike.how = f"{victim} after {pause:.2f} s"
        time.sleep(pause)
        if victim == "ledger":
            self._ledger(world, strike)
        else:
            kill_worker(lab, victim, strike, lambda: shutil.rmtree(world.home / "data" / victim, ignore_errors=True))

    def _ledger(self, world, strike):
        world.children["ledger"].kill()
        size = sum(path.stat().st_size for path in (world.home / "ledger").glob("*.db"))
        shutil.rmtree(world.home / "ledger")
        strike.effect = f"{size} bytes of the ledger were deleted" if size else ""
        world.children["ledger"].start()
        until("the ledger has read the log again", lambda: world.meters.ledger_behind() < 60, self.bound_seconds)


class VolumeDeleted(Fault):
    """Restarts the broker with an empty volume: processes report the missing topics, and continue when new topics exist."""

    key = "F15.volume"
    what = "the broker's volume deleted: refusal, `weir topics create`, then everything continues"
    round_strikes = 1
    mutation = "producer-kept"
    breaks = ("F15", "I10")
    fresh = True
    bound_seconds = 150.0
    pause = (1.0, 4.0)

    def strike(self, lab, chance, strike):
        """Delete the volume, wait for the report, create the topics, and check only the requests that are accepted later."""
        world = lab.world
        world.children["broker"].kill()
        deleted = world.format_broker()
        world.start_broker()
        strike.effect = f"{deleted} bytes of the log were deleted" if deleted else ""
        refusal = "run `weir topics create`"
        strike.expect("F15", "the shipper names the missing topics", lambda: refusal in world.log_of("shipper"), 60)
        world.create_topics()
        lab.oracle = Oracle(world)
        lab.oracle.lost = read_journals(world.home).accepted
