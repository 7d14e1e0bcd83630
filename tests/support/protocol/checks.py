"""The invariants, and what is checked of each: at any instant, and of a world that has come to rest."""

from collections.abc import Callable

from support.protocol import log_checks, state_checks
from support.protocol.record import Record
from support.protocol.rest import Rest
from support.protocol.world import World

__all__ = ["CHECKS", "check_balance", "check_rest", "check_watch"]

#: What is checked at rest, by the invariant that it belongs to.
CHECKS: dict[str, tuple[Callable[[Rest], str], ...]] = {
    "I1": (log_checks.numbers, log_checks.order, log_checks.requests, log_checks.copies),
    "I2": (log_checks.balance,),
    "I3": (state_checks.bucket_findings_from_zero, state_checks.states_from_zero),
    "I4": (log_checks.verdicts, state_checks.alerts),
    "I6": (log_checks.dead_letters,),
    "I9": (state_checks.retraining,),
    "ledger": (log_checks.ledger,),
}


def check_balance(world: World) -> None:
    """I2, at any instant."""
    balance, accepted = world.balance.read(), world.accepted
    if min(balance.delivered, balance.spooled, balance.shed) < 0:
        world.violated("I2", f"a figure below zero: {balance}")
    if not accepted.numbers <= balance.accepted <= accepted.numbers + accepted.perhaps:
        world.violated("I2", f"{accepted.numbers} (+{accepted.perhaps}) were accepted, the spools say {balance}")


def check_rest(world: World, record: Record) -> None:
    """Check everything; the world has come to rest."""
    _check(Rest(world, record), CHECKS)


def check_watch(world: World, record: Record) -> None:
    """Check what belongs to watch's stage alone."""
    _check(Rest(world, record), {"I3": CHECKS["I3"]})


def _check(rest: Rest, checks: dict[str, tuple[Callable[[Rest], str], ...]]) -> None:
    for invariant, of_it in checks.items():
        found = ((check.__name__, what) for check in of_it if (what := check(rest)))
        for name, what in found:
            rest.world.violated(invariant, f"{name}: {what}")
