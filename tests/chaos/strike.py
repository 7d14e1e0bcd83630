"""A fault, and one strike: inject the fault, remove it, and wait until all processes make progress."""

import abc
import random
import time

import msgspec

from chaos.options import WorldOptions
from chaos.oracle import Oracle
from chaos.world import World, until

PARTS = ("shipper", "score", "watch")


class Strike(msgspec.Struct, kw_only=True):
    """One injected fault.

    `effect` describes the work that the fault interrupted; a strike without an effect does not count. `violations` are the violated
    invariants of the round. `slow` are speeds outside their bound: ``make chaos`` counts them, the tests do not.
    """

    fault: str
    number: int
    seed: int
    how: str = ""
    effect: str = ""
    recovery_seconds: float | None = None
    figures: dict[str, float] = {}
    violations: list[str] = []
    slow: list[str] = []

    @property
    def failures(self):
        """All violations and missed speeds."""
        return self.violations + self.slow

    def require(self, condition, violation):
        """Add `violation` unless `condition` is true."""
        if not condition:
            self.violations.append(violation)

    def require_speed(self, condition, text):
        """Add `text` to `slow` unless `condition` is true."""
        if not condition:
            self.slow.append(text)

    def expect(self, invariant, what, check, seconds, every=0.1):
        """Poll `check`; add a violation at the deadline."""
        try:
            until(what, check, seconds, every)
        except TimeoutError as error:
            self.violations.append(f"{invariant}: {error}")


class Lab(msgspec.Struct):
    """A running world and the oracle that checks it."""

    world: World
    oracle: Oracle


class Fault(abc.ABC):
    """One row of docs/design/faults.md."""

    key: str
    what: str
    #: Number of strikes in the long suite, and between two checks of the oracle.
    wanted = 20
    round_strikes = 5
    #: The key in :data:`chaos.mutations.MUTATIONS` of the mutation to find, and prefixes of the violations that show this mutation.
    mutation: str
    breaks: tuple[str, ...]
    #: Whether other faults may be injected in the same lab at the same time, each round needs a new lab, and the fault needs a lab.
    together = fresh = False
    in_lab = True
    #: Whether processes may end by themselves.
    deaths_allowed = True
    #: The offsets of all `parts` must grow within this many seconds after the fault (I10).
    bound_seconds = 60.0
    parts = PARTS
    #: Bounds in seconds of a random pause before the strike; () means no pause.
    pause: tuple[float, ...] = ()
    options = WorldOptions()

    @abc.abstractmethod
    def strike(self, lab, chance, strike):
        """Inject the fault, fill in `how` and `effect`, and remove the fault."""


def progress(world, *parts):
    """Return the sum of the offsets that each part has reached."""
    names = world.names
    found = {}
    if "shipper" in parts:
        found["shipper"] = sum(world.look.ends({names.inference: world.kafka.partitions}).values())
    if "score" in parts:
        found["score"] = sum(world.committed("score").values())
    if "watch" in parts:
        found["watch"] = sum(end for (topic, _), end in world.committed("watch").items() if topic == names.findings)
    return found


def strike_once(fault, lab, number, seed):
    """Inject the fault once; the same seed and number give the same times and the same kind."""
    chance = random.Random(f"{seed}/{fault.key}/{number}")
    strike = Strike(fault=fault.key, number=number, seed=seed)
    if fault.pause:
        pause = chance.uniform(*fault.pause)
        strike.how = f"after {pause:.2f} s"
        time.sleep(pause)
    fault.strike(lab, chance, strike)
    if fault.in_lab and strike.recovery_seconds is None:
        _recovered(fault, lab, strike)
    return strike


def _recovered(fault, lab, strike):
    began = time.monotonic()
    before = progress(lab.world, *fault.parts)

    def stopped():
        now = progress(lab.world, *fault.parts)
        return sorted(name for name, value in before.items() if now[name] <= value)

    try:
        until("everything continues", lambda: not stopped(), fault.bound_seconds, 0.2)
    except TimeoutError:
        strike.violations.append(
            f"I10: {', '.join(stopped())} made no progress for {fault.bound_seconds:.0f} s: {strike.how}"
        )
    else:
        strike.recovery_seconds = round(time.monotonic() - began, 2)
