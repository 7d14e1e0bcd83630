"""What a fault is, and how one is struck: prepare, strike, see that it bit, heal, wait until everything goes on."""

import abc
import random
import time
from typing import Any, ClassVar

import msgspec

from chaos.options import WorldOptions
from chaos.oracle import Oracle
from chaos.world import World, until

__all__ = ["Fault", "Lab", "Strike", "strike_once"]


class Strike(msgspec.Struct, kw_only=True):
    """One strike, as it went.

    Attributes
    ----------
    bit
        What shows that it hit something; "" where it hit nothing, and then it does not count.
    recovery_seconds
        From the healing until everything that had stood still went on.
    violations
        Of the round that it belongs to.
    """

    fault: str
    number: int
    seed: int
    how: str = ""
    bit: str = ""
    recovery_seconds: float | None = None
    figures: dict[str, float] = {}
    violations: list[str] = []


class Lab(msgspec.Struct):
    """A lab and what watches it."""

    world: World
    oracle: Oracle


class Fault(abc.ABC):
    """One row of docs/design/faults.md.

    Attributes
    ----------
    key, what
        ``F1.score``, and what it does in words.
    wanted
        Strikes of the long suite.
    round_strikes
        Strikes between two looks of the oracle.
    mutation
        The one of :data:`chaos.mutations.MUTATIONS` that it must find.
    breaks
        What a violation begins with that counts as finding it.
    in_lab
        Whether it is struck in a lab; else in a process of its own (:mod:`chaos.apart`).
    together
        Whether it may be struck beside others of its kind, in the same lab at the same time.
    fresh
        Whether each round needs a lab of its own.
    bound_seconds
        Everything must go on within so much of the healing (I10).
    options
        The lab that it needs.
    """

    key: ClassVar[str]
    what: ClassVar[str]
    wanted: ClassVar[int] = 20
    round_strikes: ClassVar[int] = 5
    mutation: ClassVar[str]
    breaks: ClassVar[tuple[str, ...]]
    together: ClassVar[bool] = False
    fresh: ClassVar[bool] = False
    in_lab: ClassVar[bool] = True
    bound_seconds: ClassVar[float] = 60.0
    options: ClassVar[WorldOptions] = WorldOptions()

    def open(self, options: WorldOptions) -> World:
        """Start the lab."""
        return World(options).start()

    @abc.abstractmethod
    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Do it, and fill in `how` and `bit`; returns with the fault healed."""

    def standing(self, lab: Lab) -> dict[str, int]:
        """Return what must grow after the healing, by name: measured once at the healing."""
        return progress(lab.world)

    def after(self, lab: Lab, strike: Strike) -> list[str]:
        """Return what is wrong once everything went on again, beside the oracle's invariants."""
        del lab, strike
        return []

    def settled(self, lab: Lab) -> list[str]:
        """Return what is wrong once the round's log is drained, beside the oracle's invariants."""
        del lab
        return []


def progress(world: World, *parts: str) -> dict[str, int]:
    """Return how far shipper, score and watch (or those named) have come: sums of offsets."""
    found: dict[str, int] = {}
    names = world.names
    wanted = parts or ("shipper", "score", "watch")
    if "shipper" in wanted:
        found["shipper"] = sum(world.look.ends({names.inference: world.kafka.partitions}).values())
    if "score" in wanted:
        found["score"] = sum(world.committed("score").values())
    if "watch" in wanted:
        found["watch"] = sum(end for (topic, _), end in world.committed("watch").items() if topic == names.findings)
    return found


def strike_once(fault: Fault, lab: Lab, number: int, seed: int) -> Strike:
    """Strike once; the same seed and number give the same times and the same kind."""
    chance = random.Random(f"{seed}/{fault.key}/{number}")
    strike = Strike(fault=fault.key, number=number, seed=seed)
    fault.strike(lab, chance, strike)
    began = time.monotonic()
    before = fault.standing(lab)
    try:
        until("everything goes on", lambda: _moved(before, fault.standing(lab)), fault.bound_seconds, 0.2)
    except TimeoutError:
        now = fault.standing(lab)
        still = sorted(name for name, value in before.items() if now[name] <= value)
        strike.violations.append(f"I10: {', '.join(still)} stood still for {fault.bound_seconds:.0f} s: {strike.how}")
    else:
        strike.recovery_seconds = round(time.monotonic() - began, 2)
    strike.violations += fault.after(lab, strike)
    return strike


def _moved(before: dict[str, int], now: dict[str, Any]) -> bool:
    return all(now[name] > value for name, value in before.items())
