"""F10: the disk is full under the spool, the broker, the ledger; score's and watch's tables are in memory and in Kafka."""

import random
import time
from typing import ClassVar

from chaos.journals import read_journals
from chaos.options import WorldOptions
from chaos.proxy import Link
from chaos.strike import Fault, Lab, Strike
from chaos.world import until

__all__ = ["BrokerDisk", "LedgerDisk", "SpoolFillsDisk", "SpoolRejects", "SpoolSheds"]


class _DiskFull(Fault):
    """Fills a disk for some seconds."""

    seconds: ClassVar[tuple[float, float]] = (3.0, 7.0)

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Fill it, wait, empty it."""
        wait, full = chance.uniform(0.5, 3.0), chance.uniform(*self.seconds)
        strike.how = f"after {wait:.2f} s, for {full:.1f} s"
        time.sleep(wait)
        before = self.noticed(lab)
        assert lab.world.disk is not None
        taken = lab.world.disk.fill()
        time.sleep(full)
        hit = self.noticed(lab) - before
        lab.world.disk.empty()
        strike.bit = f"{taken} bytes were taken, {hit} {self.unit}" if hit > 0 else ""
        self.recovered(lab)

    unit: ClassVar[str]

    def noticed(self, lab: Lab) -> int:
        """Return a count that grows where the fullness was met."""
        raise NotImplementedError

    def recovered(self, lab: Lab) -> None:
        """Wait for what must come back first."""


class SpoolSheds(_DiskFull):
    """Policy ``shed``: requests are served and counted in gap records."""

    key: ClassVar[str] = "F10.shed"
    what: ClassVar[str] = "disk full under the spool, policy shed"
    mutation: ClassVar[str] = "shed-uncounted"
    breaks: ClassVar[tuple[str, ...]] = ("I1", "I2", "F10")
    unit: ClassVar[str] = "records were shed"
    options: ClassVar[WorldOptions] = WorldOptions(disk_of="spool", disk_mb=8)

    def noticed(self, lab: Lab) -> int:
        """Return how many were shed."""
        return lab.world.balance().shed


class SpoolRejects(_DiskFull):
    """Policy ``reject``: requests are refused, which the gateway answers with 503 and Retry-After."""

    key: ClassVar[str] = "F10.reject"
    what: ClassVar[str] = "disk full under the spool, policy reject"
    mutation: ClassVar[str] = "shed-uncounted"
    breaks: ClassVar[tuple[str, ...]] = ("I1", "I2", "F10")
    unit: ClassVar[str] = "requests were refused"
    options: ClassVar[WorldOptions] = WorldOptions(disk_of="spool", disk_mb=8, capture={"on_full": "reject"})

    def noticed(self, lab: Lab) -> int:
        """Return how many were refused."""
        return len(read_journals(lab.world.home).refused)


class SpoolFillsDisk(Fault):
    """Nobody else is to blame, and nobody else makes room: the shipper must."""

    key: ClassVar[str] = "F10.own"
    what: ClassVar[str] = "the spool fills its own disk while the broker cannot be reached"
    round_strikes: ClassVar[int] = 3
    mutation: ClassVar[str] = "cursor-needs-room"
    breaks: ClassVar[tuple[str, ...]] = ("I10",)
    options: ClassVar[WorldOptions] = WorldOptions(
        rate=150.0, slow_share=0.0, disk_of="spool", disk_mb=4, capture={"segment_bytes": 500_000}
    )

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Refuse connections until records are shed, and some more."""
        world = lab.world
        more = chance.uniform(0.5, 3.0)
        before = world.balance().shed
        world.line(Link(refuse=True))
        world.cut()
        until("the disk is full", lambda: world.balance().shed > before, 90)
        time.sleep(more)
        world.line(Link())
        strike.how = f"full for {more:.1f} s"
        strike.bit = f"{world.balance().shed - before} records were shed"


class BrokerDisk(_DiskFull):
    """The broker ends itself, as Kafka does when its only disk fails, and comes back when there is room."""

    key: ClassVar[str] = "F10.broker"
    what: ClassVar[str] = "disk full under the broker"
    mutation: ClassVar[str] = "sends-forgotten"
    breaks: ClassVar[tuple[str, ...]] = ("I4",)
    unit: ClassVar[str] = "records waited in the spool"
    bound_seconds: ClassVar[float] = 120.0
    seconds: ClassVar[tuple[float, float]] = (6.0, 12.0)
    options: ClassVar[WorldOptions] = WorldOptions(disk_of="kafka", disk_mb=160, rate=40.0)

    def noticed(self, lab: Lab) -> int:
        """Return how many records wait, where that is more than the usual few."""
        spooled = lab.world.balance().spooled
        return spooled if spooled > 100 else 0

    def recovered(self, lab: Lab) -> None:
        """Wait for the broker."""
        lab.world.wait_broker()


class LedgerDisk(_DiskFull):
    """The ledger's SQLite cannot write; it ends, is started again, and reads on."""

    key: ClassVar[str] = "F10.ledger"
    what: ClassVar[str] = "disk full under the ledger"
    mutation: ClassVar[str] = "ledger-forgets"
    breaks: ClassVar[tuple[str, ...]] = ("I1",)
    unit: ClassVar[str] = "records were behind"
    options: ClassVar[WorldOptions] = WorldOptions(disk_of="ledger", disk_mb=96)

    def noticed(self, lab: Lab) -> int:
        """Return how far the ledger is behind the record."""
        return lab.world.meters.ledger_behind()

    def recovered(self, lab: Lab) -> None:
        """Wait until it has read everything again."""
        until("the ledger reads on", lambda: lab.world.meters.ledger_behind() < 60, self.bound_seconds)
