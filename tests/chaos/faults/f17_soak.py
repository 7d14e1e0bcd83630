"""F17: half an hour of ordinary traffic; neither memory nor file descriptors may grow."""

import time
from statistics import linear_regression

from chaos.strike import Fault

_EVERY_SECONDS = 5.0
_PARTS = ("shipper", "score", "watch", "ledger")
#: Limits of growth after warm-up: MiB per minute, and number of descriptors.
_SLOPE, _DESCRIPTORS = 0.35, 8


class Soak(Fault):
    """Runs one soak per strike; the first third is warm-up."""

    key = "F17"
    what = "a soak: slope of memory and descriptors of shipper, score, watch, ledger"
    wanted = round_strikes = 1
    mutation = "leak"
    breaks = ("F17",)
    minutes = 30.0

    def strike(self, lab, chance, strike):
        """Measure every process every five seconds for `minutes`."""
        world = lab.world
        points = {name: [] for name in _PARTS}
        began, first = time.monotonic(), world.balance().accepted
        while (minute := (time.monotonic() - began) / 60) < self.minutes:
            for name in _PARTS:
                points[name].append((minute, world.meters.memory_mb(name), world.meters.descriptors(name)))
            time.sleep(_EVERY_SECONDS)
        strike.how = f"{self.minutes:g} min"
        strike.effect = f"{world.balance().accepted - first} records"
        for name in _PARTS:
            self._measured(strike, name, points[name])

    def _measured(self, strike, name, points):
        for share in (3, 2, 1):
            minute, memory, _ = points[len(points) // share - 1]
            strike.figures[f"{name}_mb_after_{minute:.0f}_min"] = round(memory, 1)
        minutes, memory, descriptors = zip(*points[len(points) // 3 :], strict=True)
        grown, more = linear_regression(minutes, memory).slope, descriptors[-1] - descriptors[0]
        strike.figures |= {f"{name}_mb_per_minute": round(grown, 3), f"{name}_descriptors": more}
        strike.require(grown <= _SLOPE, f"F17: {name} grows by {grown:.2f} MiB per minute, the limit is {_SLOPE}")
        strike.require(more <= _DESCRIPTORS, f"F17: {name} has {more} more descriptors, the limit is {_DESCRIPTORS}")
