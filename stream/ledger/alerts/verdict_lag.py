"""The alert about verdicts that are late (`lag`): it opens at a bound and resolves at half of the bound."""

from collections.abc import Iterator

from stream.ledger.alerts.condition import Condition
from stream.ledger.alerts.inactive_detectors import Firing
from stream.ledger.alerts.observations import Observation
from stream.settings import LedgerSettings

__all__ = ["verdict_lag"]

#: Factor of the bound below which the alert resolves, so that it does not flap.
_EXIT = 0.5


def verdict_lag(observation: Observation, settings: LedgerSettings, firing: Firing) -> Iterator[Condition]:
    """Yield the condition if the lag exceeds the bound; while the alert fires, the bound is half as large."""
    bound = settings.lag_seconds
    if observation.lag_seconds > bound * (_EXIT if ("lag", "") in firing else 1.0):
        yield Condition(
            detector="lag",
            severity="warning",
            summary=f"Verdicts are {observation.lag_seconds:.0f} s behind inference (limit {bound:.0f} s)",
            opening=observation.lag_identity,
            statistic=observation.lag_seconds,
            limit=bound,
        )
