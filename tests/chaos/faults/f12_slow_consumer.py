"""F12: score is ten times too slow for a while."""

import random
import time
from typing import ClassVar

from chaos.engine import slow_file
from chaos.options import WorldOptions
from chaos.strike import Fault, Lab, Strike
from chaos.world import until
from stream.settings import ScoreSettings

__all__ = ["SlowConsumer"]

_SLOWER = 10
_BOUND_MB = 60


class SlowConsumer(Fault):
    """Each text takes so long that a tenth of what arrives can be scored; then all is well again."""

    key: ClassVar[str] = "F12"
    what: ClassVar[str] = "score ten times too slow for 15 to 25 s"
    round_strikes: ClassVar[int] = 2
    mutation: ClassVar[str] = "window-without-bound"
    breaks: ClassVar[tuple[str, ...]] = ("F12",)
    bound_seconds: ClassVar[float] = 120.0
    options: ClassVar[WorldOptions] = WorldOptions(
        rate=40.0, slow_share=0.0, settings={"WEIR_LEDGER__LAG_SECONDS": "4", "WEIR_SCORE__OUTSTANDING_EVENTS": "64"}
    )

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Slow it down, watch its memory and what is in flight, and let it go."""
        world = lab.world
        slow = chance.uniform(15.0, 25.0)
        arriving = world.options.rate * world.options.sources * 2
        seconds = _SLOWER * 2 / arriving  # two model processes
        strike.how = f"{seconds:.2f} s a text for {slow:.0f} s"
        memory, alerts = world.meters.memory_mb("score"), self._lag_alerts(lab)
        slow_file(world.home).write_text(str(seconds))
        most, flight, deadline = memory, 0.0, time.monotonic() + slow
        while time.monotonic() < deadline:
            most = max(most, world.meters.memory_mb("score"))
            flight = max(flight, world.meters.metric("score", "weir_score_outstanding_events"))
            time.sleep(0.5)
        behind = sum(world.look.ends({world.names.inference: world.kafka.partitions}).values()) - sum(
            world.committed("score").values()
        )
        slow_file(world.home).unlink()
        strike.bit = f"{behind} records waited" if behind > arriving else ""
        strike.figures |= {"memory_mb": round(most - memory, 1), "in_flight": flight}
        try:
            until("the lag is an alert", lambda: self._lag_alerts(lab) > alerts, 30)
        except TimeoutError:
            strike.violations.append("F12: the ledger raised no alert about the lag")

    def _lag_alerts(self, lab: Lab) -> int:
        return int(lab.world.meters.metric("ledger", "weir_ledger_alerts_total", detector="lag"))

    def after(self, lab: Lab, strike: Strike) -> list[str]:
        """Memory and what is in flight are bounded."""
        bound = int(
            lab.world.options.settings.get("WEIR_SCORE__OUTSTANDING_EVENTS", ScoreSettings().outstanding_events)
        )
        found = []
        if strike.figures["in_flight"] > bound:
            found.append(f"F12: {strike.figures['in_flight']:.0f} events were in flight, {bound} may be")
        if strike.figures["memory_mb"] > _BOUND_MB:
            found.append(f"F12: score grew by {strike.figures['memory_mb']} MiB, {_BOUND_MB} are allowed")
        return found
