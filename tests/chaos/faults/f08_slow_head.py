"""F8: slow first events, fast later events, poison events beside them, then a kill."""

import time

from chaos.faults.f01_worker_kill import kill_worker
from chaos.options import WorldOptions
from chaos.strike import Fault


class SlowHead(Fault):
    """Kills score while every tenth prompt keeps a model process busy for 0.4 s and the other model process overtakes it."""

    key = "F8"
    what = "slow first events, fast later events, poison events beside them, then kill -9 of score"
    wanted = 50
    round_strikes = 10
    mutation = "tracker-off"
    breaks = ("I5",)
    pause = (0.2, 2.0)
    parts = ("score",)
    options = WorldOptions(slow_share=0.1, rate=15.0)

    def strike(self, lab, chance, strike):
        """Write a poison record to every partition, and kill score shortly after."""
        world = lab.world
        soon = chance.uniform(0.05, 1.0)
        strike.how += f", {soon:.2f} s after the poison"
        topic = world.names.inference
        world.look.produce((topic, number, None, chance.randbytes(40), []) for number in range(world.kafka.partitions))
        time.sleep(soon)
        kill_worker(lab, "score", strike)
