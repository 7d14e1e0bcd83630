"""The invariants and their checks: at any instant, and of a world at rest."""

from support.protocol import log_checks, state_checks
from support.protocol.rest import Rest

#: The checks of a world at rest, by invariant.
CHECKS = {
    "I1": (log_checks.numbers, log_checks.order, log_checks.requests, log_checks.copies),
    "I2": (log_checks.balance,),
    "I3": (state_checks.bucket_findings_from_zero, state_checks.states_from_zero),
    "I4": (log_checks.verdicts, state_checks.alerts),
    "I6": (log_checks.dead_letters,),
    "I9": (state_checks.retraining,),
    "ledger": (log_checks.ledger,),
}
#: I5 is checked at every commit. I10 is violated if a world does not come to rest.
INVARIANTS = (*CHECKS, "I5", "I10", "no process ends by itself")


def check_balance(world):
    """Check I2, which must be true at any instant."""
    balance, accepted = world.balance(), world.accepted
    if min(balance.delivered, balance.spooled, balance.shed) < 0:
        world.violated("I2", f"a figure below zero: {balance}")
    if not accepted.numbers <= balance.accepted <= accepted.numbers + accepted.perhaps:
        world.violated("I2", f"{accepted.numbers} (+{accepted.perhaps}) were accepted, the spools have {balance}")


def check_rest(world, record, invariants=tuple(CHECKS)):
    """Check the invariants of a world at rest."""
    rest = Rest(world, record)
    for invariant in invariants:
        for check in CHECKS[invariant]:
            if what := check(rest):
                world.violated(invariant, f"{check.__name__}: {what}")
