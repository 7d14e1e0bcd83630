"""F10: the disk of the spool, the broker or the ledger is full. The tables of score and watch are in memory and in Kafka."""

import time

from chaos.journals import read_journals
from chaos.options import WorldOptions
from chaos.proxy import Link
from chaos.strike import Fault
from chaos.world import until


class _DiskFull(Fault):
    """Fills a disk for some seconds."""

    pause = (0.5, 3.0)
    seconds = (3.0, 7.0)
    unit: str

    def strike(self, lab, chance, strike):
        world = lab.world
        full = chance.uniform(*self.seconds)
        strike.how += f", for {full:.1f} s"
        before = self.noticed(world)
        taken = world.disk.fill()
        time.sleep(full)
        hit = self.noticed(world) - before
        world.disk.empty()
        strike.effect = f"{taken} bytes were taken, {hit} {self.unit}" if hit > 0 else ""
        self.recovered(world)

    def noticed(self, world):
        """Return a count that grows if the full disk affects the product."""
        raise NotImplementedError

    def recovered(self, world):
        """Wait for the process that must recover first."""


class SpoolSheds(_DiskFull):
    """Fills the spool's disk with policy ``shed``: requests are served and counted in gap records."""

    key = "F10.shed"
    what = "disk full under the spool, policy shed"
    mutation = "shed-uncounted"
    breaks = ("I1", "I2", "F10")
    unit = "records were shed"
    options = WorldOptions(disk_of="spool", disk_mb=8)

    def noticed(self, world):
        return world.balance().shed


class SpoolRejects(_DiskFull):
    """Fills the spool's disk with policy ``reject``: requests are rejected; the gateway answers 503 with Retry-After."""

    key = "F10.reject"
    what = "disk full under the spool, policy reject"
    mutation = "shed-uncounted"
    breaks = ("I1", "I2", "F10")
    unit = "requests were rejected"
    options = WorldOptions(disk_of="spool", disk_mb=8, capture={"on_full": "reject"})

    def noticed(self, world):
        return len(read_journals(world.home).refused)


class SpoolFillsDisk(Fault):
    """Lets the spool alone fill its disk, so the shipper must free the space."""

    key = "F10.own"
    what = "the spool fills its own disk while the broker cannot be reached"
    round_strikes = 3
    mutation = "cursor-needs-room"
    breaks = ("I10",)
    options = WorldOptions(rate=150.0, slow_share=0.0, disk_of="spool", disk_mb=4, capture={"segment_bytes": 500_000})

    def strike(self, lab, chance, strike):
        """Refuse connections to the broker until records are shed, and some seconds longer."""
        world = lab.world
        longer = chance.uniform(0.5, 3.0)
        before = world.balance().shed
        world.proxy.link = Link(refuse=True)
        world.cut()
        until("the disk is full", lambda: world.balance().shed > before, 90)
        time.sleep(longer)
        world.proxy.link = Link()
        strike.how = f"full for {longer:.1f} s"
        strike.effect = f"{world.balance().shed - before} records were shed"


class BrokerDisk(_DiskFull):
    """Fills the broker's disk: Kafka exits when its only disk fails, and is restarted when the disk has space."""

    key = "F10.broker"
    what = "disk full under the broker"
    mutation = "sends-forgotten"
    breaks = ("I4",)
    unit = "records waited in the spool"
    bound_seconds = 120.0
    seconds = (6.0, 12.0)
    options = WorldOptions(disk_of="kafka", disk_mb=160, rate=40.0)

    def noticed(self, world):
        spooled = world.balance().spooled
        return spooled if spooled > 100 else 0  # ordinary traffic has a few

    def recovered(self, world):
        world.wait_broker()


class LedgerDisk(_DiskFull):
    """Fills the ledger's disk: SQLite cannot write, so the ledger exits, is restarted, and continues."""

    key = "F10.ledger"
    what = "disk full under the ledger"
    mutation = "ledger-forgets"
    breaks = ("I1",)
    unit = "records were behind"
    options = WorldOptions(disk_of="ledger", disk_mb=96)

    def noticed(self, world):
        return world.meters.ledger_behind()

    def recovered(self, world):
        until("the ledger continues", lambda: world.meters.ledger_behind() < 60, self.bound_seconds)
