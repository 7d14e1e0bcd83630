"""F13: a source's clock steps by an hour, records are duplicated, a source is inactive."""

import signal
import time

from chaos.journals import read_journals
from chaos.options import WorldOptions
from chaos.source import step_path
from chaos.strike import Fault
from chaos.world import until
from stream.wire import FindingRecord

_SILENCE_SECONDS = 8
_SHARE = 0.05


class Clocks(Fault):
    """Steps the clock of an extra source, or suspends it; the source ends before the others. 5 % of the records are duplicates."""

    key = "F13"
    what = "a source's clock steps by +1 h or -1 h, or a source is inactive; 5 % of the records are duplicates"
    round_strikes = 3
    mutation = "repeats-counted"
    breaks = ("I3", "I4")
    options = WorldOptions(settings={"WEIR_WATCH__SOURCE_SILENCE_SECONDS": str(_SILENCE_SECONDS)})

    def strike(self, lab, chance, strike):
        """Add the source, inject its fault, duplicate records, and end it."""
        world = lab.world
        step = chance.choice((3600, -3600, 0))
        strike.how = f"the clock steps by {step:+d} s" if step else "the source is inactive"
        odd = world.add_source(rate=8.0)
        until("the extra source accepts", lambda: len(read_journals(world.home, odd).accepted) > 10, 30)
        if step:
            step_path(world.home, odd).write_text(str(step))
        else:
            world.children[odd].send(signal.SIGSTOP)
        repeated = self._repeat(lab, chance)
        time.sleep(chance.uniform(3.0, 6.0) if step else _SILENCE_SECONDS + 6)
        if not step:
            source = next(iter(read_journals(world.home, odd).sources))
            strike.expect("F13", f"an alarm about {source}", lambda: self._alarmed(lab.oracle, source), 30, 0.5)
            world.children[odd].send(signal.SIGCONT)
        world.stop_source(odd)
        strike.effect = f"{strike.how}; {repeated} duplicates" if repeated else ""

    def _repeat(self, lab, chance):
        """Append a twentieth of the newest records a second time; return their number."""
        fresh = [raw for raw in lab.oracle.read() if raw.topic == lab.world.names.inference]
        again = [raw for raw in fresh if chance.random() < _SHARE]
        lab.world.look.produce((raw.topic, raw.partition, raw.key, raw.value, list(raw.headers)) for raw in again)
        return len(again)

    def _alarmed(self, oracle, source):
        oracle.read()
        findings = [seen.event.data for seen in oracle.record.watched.values()]
        return any(isinstance(one, FindingRecord) and one.alarm and one.feature == source for one in findings)
