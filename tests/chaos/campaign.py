"""Strikes in rounds: strike some times, drain everything, let the oracle look, go on."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import msgspec
from aiokafka.errors import KafkaError

from chaos.apart import run_apart
from chaos.options import WorldOptions
from chaos.oracle import Oracle
from chaos.strike import Fault, Lab, Strike, strike_once
from chaos.world import until

__all__ = ["Campaign", "Say"]

Say = Callable[[str], None]
_SETTLE_SECONDS = 150.0
_LEDGER_SECONDS = 45.0
#: A lab is left after so many rounds: its log is read whole by some of the recoveries.
_ROUNDS = 4
_LOOP_DEATHS = 8


class Campaign:
    """Plays rounds of one fault, or of some together, in labs that it opens as they are needed; a context manager.

    Parameters
    ----------
    faults
        Struck at the same time, each in a thread of its own, where there is more than one.
    seed
        Of everything.
    mutation
        What is wrong with the product on purpose, or "".
    options
        The lab, where it is not the first fault's own.
    settle_seconds
        How long the log of a round may take to drain.
    say
        Called with a line of progress.
    """

    def __init__(
        self,
        faults: Sequence[Fault],
        seed: int,
        *,
        mutation: str = "",
        options: WorldOptions | None = None,
        settle_seconds: float = _SETTLE_SECONDS,
        say: Say = print,
    ) -> None:
        self.faults = faults
        self._seed = seed
        self._mutation = mutation
        self._options = options or faults[0].options
        self._settle_seconds = settle_seconds
        self._say = say
        self._lab: Lab | None = None
        self._rounds = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def round(self, first: dict[str, int], strikes: dict[str, int]) -> list[Strike]:
        """Play one round: `strikes` of each fault, numbered from `first`; every one carries the round's violations."""
        if not self.faults[0].in_lab:
            return [self._apart(fault, number) for fault in self.faults for number in _numbers(fault, first, strikes)]
        lab = self._open()
        before = len(lab.world.deaths)
        with ThreadPoolExecutor(len(self.faults)) as threads:
            jobs = [threads.submit(self._strikes, fault, lab, _numbers(fault, first, strikes)) for fault in self.faults]
            played = [strike for job in jobs for strike in job.result()]
        violations = [*self._drain(lab, before), *(found for fault in self.faults for found in fault.settled(lab))]
        repeated = lab.oracle.record.repeated_share
        for strike in played:
            strike.violations += violations
            strike.figures["repeated_share"] = repeated
        self._rounds += 1
        if any(strike.violations for strike in played) or self._rounds == _ROUNDS or self.faults[0].fresh:
            self._leave()
        return played

    def _strikes(self, fault: Fault, lab: Lab, numbers: list[int]) -> list[Strike]:
        played = []
        for number in numbers:
            try:
                strike = strike_once(fault, lab, number, self._seed)
            except (KafkaError, OSError, AssertionError) as error:
                if not isinstance(error, TimeoutError):  # the lab's own trouble, nothing that the product did
                    self._say(f"  {fault.key} {number}: not carried out, and not counted: {error!r}")
                    break
                strike = Strike(fault=fault.key, number=number, seed=self._seed, how="not carried out")
                strike.violations.append(f"I10: {error}")
            played.append(strike)
            self._say(_line(strike))
            if strike.violations:
                break
        return played

    def _apart(self, fault: Fault, number: int) -> Strike:
        said = run_apart(fault.name, f"{self._seed}/{number}", self._mutation)  # type: ignore[attr-defined]  # faults without a lab have one
        strike = Strike(fault=fault.key, number=number, seed=self._seed, **said)
        self._say(_line(strike))
        return strike

    def _open(self) -> Lab:
        if self._lab is None:
            first = self.faults[0]
            options = msgspec.structs.replace(self._options, seed=self._seed, mutation=self._mutation)
            world = first.open(options)
            self._lab, self._rounds = Lab(world, Oracle(world, world.settings())), 0
        else:
            for _ in range(self._lab.world.options.sources):
                self._lab.world.add_source()
        return self._lab

    def _leave(self) -> None:
        lab, self._lab = self._lab, None
        if lab is not None:
            lab.world.close()

    def _drain(self, lab: Lab, deaths: int) -> list[str]:
        """End the sources, wait until everything is committed, and look."""
        began = time.monotonic()
        lab.world.stop_sources()
        found = []
        try:
            until("everything is drained", lambda: not lab.oracle.unsettled(), self._settle_seconds, 0.5)
        except TimeoutError:
            found.append(f"I10: not drained within {self._settle_seconds:.0f} s: {lab.oracle.unsettled()}")
        found += lab.oracle.check()
        if not found and lab.oracle.lost is None:
            try:
                until("the ledger agrees", lambda: not lab.oracle.ledger_says(), _LEDGER_SECONDS, 0.5)
            except TimeoutError:
                found.append(f"I1: {lab.oracle.ledger_says()}")
        looped = [death.name for death in lab.world.deaths[deaths:] if not death.ours and death.lived_seconds < 10]
        if len(looped) >= _LOOP_DEATHS and lab.world.disk is None:  # without a disk, dying is what is left
            found.append(f"I10: {', '.join(looped)} died again and again")
        late = sum(replay.late for replay in lab.oracle.watch)
        self._say(
            f"  drained and looked at in {time.monotonic() - began:.0f} s, {late} late so far: {len(found)} violations"
        )
        return found


def _numbers(fault: Fault, first: dict[str, int], strikes: dict[str, int]) -> list[int]:
    return list(range(first.get(fault.key, 0), first.get(fault.key, 0) + strikes.get(fault.key, 0)))


def _line(strike: Strike) -> str:
    recovered = f"went on after {strike.recovery_seconds} s" if strike.recovery_seconds is not None else ""
    figures = ", ".join(f"{name} {value:g}" for name, value in strike.figures.items())
    parts = [strike.how, strike.bit or "it did not bite", recovered, figures, *strike.violations]
    return f"  {strike.fault} {strike.number}: {'; '.join(part for part in parts if part)}"
