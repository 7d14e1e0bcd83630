"""F13: a source's clock steps by an hour, records come twice, a source falls silent."""

import random
import signal
import time
from typing import ClassVar

from chaos.journals import read_journals
from chaos.options import WorldOptions
from chaos.source import step_path
from chaos.strike import Fault, Lab, Strike
from chaos.world import until
from stream.wire import FindingRecord

__all__ = ["Clocks"]

_SILENCE_SECONDS = 8
_SHARE = 0.05


class Clocks(Fault):
    """An extra source steps or falls silent, and ends before the others; meanwhile 5 % of the records come again."""

    key: ClassVar[str] = "F13"
    what: ClassVar[str] = "a source's clock steps by +1 h or -1 h, or a source is silent; 5 % of the records come twice"
    round_strikes: ClassVar[int] = 3
    mutation: ClassVar[str] = "repeats-counted"
    breaks: ClassVar[tuple[str, ...]] = ("I3", "I4")
    options: ClassVar[WorldOptions] = WorldOptions(
        settings={"WEIR_WATCH__SOURCE_SILENCE_SECONDS": str(_SILENCE_SECONDS)}
    )

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Add the odd source, have it go wrong, repeat records, and end it."""
        world = lab.world
        kind = chance.choice((3600, -3600, 0))
        strike.how = f"steps by {kind:+d} s" if kind else "falls silent"
        odd = world.add_source(rate=8.0)
        until("the odd source accepts", lambda: len(read_journals(world.home, odd).accepted) > 10, 30)
        if kind:
            step_path(world.home, odd).write_text(str(kind))
        else:
            world.child(odd).send(signal.SIGSTOP)
        repeated = self._repeat(lab, chance)
        time.sleep(chance.uniform(3.0, 6.0) if kind else _SILENCE_SECONDS + 6)
        if not kind:
            source = next(iter(read_journals(world.home, odd).sources))
            try:
                until(f"{source} is told of as silent", lambda: self._told(lab, source), 30, 0.5)
            except TimeoutError as error:
                strike.violations.append(f"F13: {error}")
            world.child(odd).send(signal.SIGCONT)
        world.stop_source(odd)
        strike.bit = f"{strike.how}; {repeated} records came again" if repeated else ""

    def _repeat(self, lab: Lab, chance: random.Random) -> int:
        """Append again what is a twentieth of the newest records."""
        world = lab.world
        fresh = [raw for raw in lab.oracle.read() if raw.topic == world.names.inference]
        again = [raw for raw in fresh if chance.random() < _SHARE]
        world.look.produce((raw.topic, raw.partition, raw.key, raw.value, list(raw.headers)) for raw in again)
        return len(again)

    def _told(self, lab: Lab, source: str) -> bool:
        lab.oracle.read()
        return any(
            isinstance(data := seen.event.data, FindingRecord) and data.alarm and data.feature == source
            for seen in lab.oracle.record.watched.values()
        )
