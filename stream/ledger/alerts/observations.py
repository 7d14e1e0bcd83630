"""The input from which the ledger decides its own alerts."""

import msgspec

from stream.ledger.alerts.full_spool import FullSpool
from stream.ledger.alerts.gaps import GapEpisode
from stream.ledger.coverage import MissingVerdicts
from stream.ledger.detector_health import Unanswered

__all__ = ["Observation"]


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the log for these alerts; `log_time` is the newest tick time of any source, seconds since the epoch.

    `gaps` is the first episode of gap records that no resolved alert covers. `last_answers` is {detector: event time of
    its newest answer, None if it never answered}. `resolved` is {detector: number of resolved alerts about its
    inactivity since its newest answer}.
    """

    log_time: float
    missing: MissingVerdicts = MissingVerdicts()
    lag_seconds: float = 0.0
    lag_identity: str = ""
    gaps: GapEpisode = GapEpisode()
    last_answers: dict[str, float | None] = {}
    unanswered: tuple[Unanswered, ...] = ()
    resolved: dict[str, int] = {}
    spools: tuple[FullSpool, ...] = ()
