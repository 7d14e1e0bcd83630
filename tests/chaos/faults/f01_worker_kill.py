"""F1: kill -9 of a Faust worker, repeatedly, at any moment."""

from chaos.strike import Fault


def kill_worker(lab, name, strike, meanwhile=bool):
    """Kill `name`, call `meanwhile`, and restart it. The strike has an effect if the kill left earlier records uncommitted."""
    world = lab.world
    topics = {world.names.inference} if name == "score" else {world.names.signals, world.names.findings}
    ends = world.look.ends({topic: count for topic, count in world.counts().items() if topic in topics})
    child = world.children[name]
    child.wait_running()
    child.kill()
    lab.oracle.mark(strike)
    committed = world.committed(name)
    left = sum(max(0, end - committed.get(place, 0)) for place, end in ends.items())
    strike.effect = f"{left} records were left to process" if left else ""
    meanwhile()
    child.start()


class ScoreKill(Fault):
    """Kills the stateless worker, with batches in its model processes and outputs in flight."""

    key = "F1.score"
    what = "kill -9 of the score worker"
    wanted = 100
    round_strikes = 10
    mutation = "tracker-off"
    breaks = ("I5",)
    together = True
    pause = (0.2, 3.0)
    parts = ("score",)

    def strike(self, lab, chance, strike):
        kill_worker(lab, self.parts[0], strike)


class WatchKill(ScoreKill):
    """Kills the stateful worker, with open buckets, findings and state in flight."""

    key = "F1.watch"
    what = "kill -9 of the watch worker"
    parts = ("watch",)
