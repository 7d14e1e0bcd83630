"""F1: kill -9 of a Faust worker, again and again, at any moment."""

import random
import time
from collections.abc import Callable
from typing import ClassVar

from chaos.strike import Fault, Lab, Strike, progress

__all__ = ["ScoreKill", "WatchKill", "kill_worker"]


def kill_worker(lab: Lab, name: str, strike: Strike, meanwhile: Callable[[], object] = bool) -> None:
    """Kill `name`, do what is to be done `meanwhile`, and start it again.

    It bit where records that were there before the kill are not committed after it.
    """
    world = lab.world
    group = "score" if name.startswith("score") else "watch"
    topics = [world.names.inference] if group == "score" else [world.names.signals, world.names.findings]
    there = world.look.ends({topic: count for topic, count in world.counts().items() if topic in topics})
    world.child(name).wait_running()
    world.child(name).kill(hold=True)
    lab.oracle.mark(f"strike {strike.number} of {strike.fault}")
    committed = world.committed(group)
    left = sum(max(0, end - committed.get(place, 0)) for place, end in there.items())
    strike.bit = f"{left} records were left to process" if left else ""
    meanwhile()
    world.child(name).start()


class ScoreKill(Fault):
    """The stateless worker, with batches in its model processes and outputs on their way."""

    key: ClassVar[str] = "F1.score"
    what: ClassVar[str] = "kill -9 of the score worker"
    wanted: ClassVar[int] = 100
    round_strikes: ClassVar[int] = 10
    mutation: ClassVar[str] = "tracker-off"
    breaks: ClassVar[tuple[str, ...]] = ("I5",)
    together: ClassVar[bool] = True
    worker: ClassVar[str] = "score"

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Kill it after a while of work."""
        wait = chance.uniform(0.2, 3.0)
        strike.how = f"after {wait:.2f} s"
        time.sleep(wait)
        kill_worker(lab, self.worker, strike)

    def standing(self, lab: Lab) -> dict[str, int]:
        """Its own commits must go on."""
        return progress(lab.world, self.worker)


class WatchKill(ScoreKill):
    """The stateful worker, with open buckets, findings and state on their way."""

    key: ClassVar[str] = "F1.watch"
    what: ClassVar[str] = "kill -9 of the watch worker"
    worker: ClassVar[str] = "watch"
