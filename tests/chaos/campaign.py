"""Inject faults in rounds: a few strikes, then drain all records, check them with the oracle, and continue."""

import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
from aiokafka.errors import KafkaError

from chaos.journals import read_journals
from chaos.mutations import mutated
from chaos.oracle import Oracle
from chaos.strike import Lab, Strike, strike_once
from chaos.world import World, until

_SETTLE_SECONDS = 150.0
_LEDGER_SECONDS = 45.0
#: A lab is closed after this many rounds, since some recoveries read the whole log.
_ROUNDS = 4
_LOOP_DEATHS = 8


def say(line):
    print(line, flush=True)


class Campaign:
    """Runs rounds of one fault, or of several at the same time, in labs that it opens when needed; a context manager.

    The lab has the options of the first fault unless `options` is given; a round's log must drain within `settle_seconds`.
    """

    def __init__(self, faults, seed, *, mutation="", options=None, settle_seconds=_SETTLE_SECONDS) -> None:
        self.faults = faults
        self._seed = seed
        self._mutation = mutation
        self._options = msgspec.structs.replace(options or faults[0].options, seed=seed, mutation=mutation)
        self._settle_seconds = settle_seconds
        self._lab = None
        self._rounds = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._close()

    def round(self, first, strikes):
        """Run `strikes` of each fault, numbered from `first`; each strike gets the round's violations."""
        numbers = {
            fault: range(first.get(fault.key, 0), first.get(fault.key, 0) + strikes.get(fault.key, 0))
            for fault in self.faults
        }
        if not self.faults[0].in_lab:
            with mutated(self._mutation):
                return [strike for fault in self.faults for strike in self._strikes(fault, None, numbers[fault])]
        lab = self._open()
        before = len(lab.world.deaths)
        with ThreadPoolExecutor(len(self.faults)) as threads:
            jobs = [threads.submit(self._strikes, fault, lab, numbers[fault]) for fault in self.faults]
            played = [strike for job in jobs for strike in job.result()]
        violations = self._drain(lab, before)
        for strike in played:
            strike.violations += violations
            strike.figures["repeated_share"] = lab.oracle.record.repeated_share
        self._rounds += 1
        if any(strike.violations for strike in played) or self._rounds == _ROUNDS or self.faults[0].fresh:
            self._close()
        return played

    def _strikes(self, fault, lab, numbers):
        played = []
        for number in numbers:
            try:
                strike = strike_once(fault, lab, number, self._seed)
            except TimeoutError as error:
                strike = Strike(fault=fault.key, number=number, seed=self._seed, how="not completed")
                strike.violations.append(f"I10: {error}")
            except (KafkaError, OSError, AssertionError) as error:  # a failure of the lab, not of the product
                say(f"  {fault.key} {number}: not completed, and not counted: {error!r}")
                break
            played.append(strike)
            say(_line(strike))
            if strike.violations:
                break
        return played

    def _open(self):
        if self._lab is None:
            world = World(self._options).start()
            self._lab, self._rounds = Lab(world, Oracle(world)), 0
        else:
            world = self._lab.world
            names = [world.add_source() for _ in range(self._options.sources)]
            until("the sources accept", lambda: all(read_journals(world.home, name).accepted for name in names))
        return self._lab

    def _close(self):
        lab, self._lab = self._lab, None
        if lab is not None:
            lab.world.close()

    def _drain(self, lab, before):
        """Stop the sources, wait until all records are committed, and return the violations."""
        began, world, oracle = time.monotonic(), lab.world, lab.oracle
        world.stop_sources()
        found = []
        try:
            until("everything is drained", lambda: not oracle.unsettled(), self._settle_seconds, 0.5)
        except TimeoutError:
            found.append(f"I10: not drained within {self._settle_seconds:.0f} s: {oracle.unsettled()}")
        found += oracle.check()
        if not found and oracle.lost is None:
            try:
                until("the ledger agrees", lambda: not oracle.ledger_differs(), _LEDGER_SECONDS, 0.5)
            except TimeoutError:
                found.append(f"I1: {oracle.ledger_differs()}")
        found += self._deaths(lab, [death for death in world.deaths[before:] if not death.ours])
        late = sum(replay.late for replay in oracle.watch)
        say(f"  drained and checked in {time.monotonic() - began:.0f} s, {late} late so far: {len(found)} violations")
        return found

    def _deaths(self, lab, deaths):
        looped = [death.name for death in deaths if death.lived_seconds < 10]
        if len(looped) >= _LOOP_DEATHS and lab.world.disk is None:  # with a full disk, processes may die repeatedly
            return [f"I10: {', '.join(looped)} died repeatedly"]
        strict = [fault.key for fault in self.faults if not fault.deaths_allowed]
        died = ", ".join(f"{death.name} ({death.status})" for death in deaths)
        return [f"{key}: {died} died" for key in strict if died]


def _line(strike):
    recovered = f"continued after {strike.recovery_seconds} s" if strike.recovery_seconds is not None else ""
    figures = ", ".join(f"{name} {value:g}" for name, value in strike.figures.items())
    parts = [strike.how, strike.effect or "no effect", recovered, figures, *strike.failures]
    return f"  {strike.fault} {strike.number}: {'; '.join(part for part in parts if part)}"
