"""F17: half an hour of ordinary traffic; memory must not grow, nor file descriptors."""

import random
import time
from typing import ClassVar

from chaos.options import WorldOptions
from chaos.strike import Fault, Lab, Strike

__all__ = ["Soak", "slope"]

_EVERY_SECONDS = 5.0
_PARTS = ("shipper", "score", "watch", "ledger")
#: MiB a minute after warm-up, and descriptors over the whole soak.
_SLOPE, _DESCRIPTORS = 0.35, 8


class Soak(Fault):
    """One strike is one soak; the first third of it is warm-up."""

    key: ClassVar[str] = "F17"
    what: ClassVar[str] = "a soak: slope of memory and descriptors of shipper, score, watch, ledger"
    wanted: ClassVar[int] = 1
    round_strikes: ClassVar[int] = 1
    mutation: ClassVar[str] = "leak"
    breaks: ClassVar[tuple[str, ...]] = ("F17",)
    minutes: float = 30.0
    options: ClassVar[WorldOptions] = WorldOptions(rate=20.0)

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Look at every process every five seconds."""
        del chance
        world = lab.world
        seen: dict[str, list[tuple[float, float, int]]] = {name: [] for name in _PARTS}
        began, end = time.monotonic(), time.monotonic() + self.minutes * 60
        first = world.balance().accepted
        while time.monotonic() < end:
            for name in _PARTS:
                seen[name].append(
                    (time.monotonic() - began, world.meters.memory_mb(name), world.meters.descriptors(name))
                )
            time.sleep(_EVERY_SECONDS)
        strike.how = f"{self.minutes:g} min"
        strike.bit = f"{world.balance().accepted - first} records"
        for name, points in seen.items():
            warm = points[len(points) // 3 :]
            grown = slope([(at / 60, memory) for at, memory, _ in warm])
            strike.figures[f"{name}_mb_per_minute"] = round(grown, 3)
            for share in (3, 2, 1):
                at, memory, _ = points[len(points) // share - 1]
                strike.figures[f"{name}_mb_after_{at / 60:.0f}_min"] = round(memory, 1)
            strike.figures[f"{name}_descriptors"] = warm[-1][2] - warm[0][2]
            if grown > _SLOPE:
                strike.violations.append(f"F17: {name} grows by {grown:.2f} MiB a minute, {_SLOPE} are allowed")
            if warm[-1][2] - warm[0][2] > _DESCRIPTORS:
                strike.violations.append(f"F17: {name} has {warm[-1][2] - warm[0][2]} more descriptors")


def slope(points: list[tuple[float, float]]) -> float:
    """Return the slope of the least-squares line."""
    count = len(points)
    x, y = (sum(point[axis] for point in points) / count for axis in (0, 1))
    spread = sum((one - x) ** 2 for one, _ in points)
    return sum((one - x) * (two - y) for one, two in points) / spread if spread else 0.0
