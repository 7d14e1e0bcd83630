"""F12: score is ten times too slow for some time."""

import time

from chaos.engine import slow_file
from chaos.options import WorldOptions
from chaos.strike import Fault, progress

_SLOWER = 10
_BOUND_MB = 60
_OUTSTANDING = 64


class SlowConsumer(Fault):
    """Slows score down so that it can score only a tenth of the arriving events."""

    key = "F12"
    what = "score ten times too slow for 15 to 25 s"
    round_strikes = 2
    mutation = "window-without-bound"
    breaks = ("F12",)
    bound_seconds = 120.0
    options = WorldOptions(
        rate=40.0,
        slow_share=0.0,
        settings={"WEIR_LEDGER__LAG_SECONDS": "4", "WEIR_SCORE__OUTSTANDING_EVENTS": str(_OUTSTANDING)},
    )

    def strike(self, lab, chance, strike):
        """Slow score down, and measure its memory and the events in flight."""
        world = lab.world
        slow = chance.uniform(15.0, 25.0)
        arriving = world.options.rate * world.options.sources * 2
        seconds = _SLOWER * 2 / arriving  # two model processes
        strike.how = f"{seconds:.2f} s a text for {slow:.0f} s"
        memory, alerts = world.meters.memory_mb("score"), self._lag_alerts(world)
        slow_file(world.home).write_text(str(seconds))
        most, flight, deadline = memory, 0.0, time.monotonic() + slow
        while time.monotonic() < deadline:
            most = max(most, world.meters.memory_mb("score"))
            flight = max(flight, world.meters.metric("score", "weir_score_outstanding_events"))
            time.sleep(0.5)
        reached = progress(world, "shipper", "score")
        behind = reached["shipper"] - reached["score"]
        slow_file(world.home).unlink()
        strike.effect = f"{behind} records waited" if behind > arriving else ""
        grown = round(most - memory, 1)
        strike.figures |= {"memory_mb": grown, "in_flight": flight}
        strike.expect("F12", "an alert of the ledger about the lag", lambda: self._lag_alerts(world) > alerts, 30)
        flown = f"F12: {flight:.0f} events were in flight, expected 1 to {_OUTSTANDING}"
        strike.require(0 < flight <= _OUTSTANDING, flown)
        strike.require(grown <= _BOUND_MB, f"F12: score grew by {grown} MiB, the limit is {_BOUND_MB}")

    def _lag_alerts(self, world):
        return int(world.meters.metric("ledger", "weir_ledger_alerts_total", detector="lag"))
