"""The input from which the ledger decides its own alerts."""

import msgspec

from stream.ledger.alerts.full_spool import FullSpool
from stream.ledger.alerts.gaps import GapEpisode
from stream.ledger.coverage import MissingVerdicts
from stream.ledger.detector_health import Unanswered


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the log; `log_time` is the newest time of any source's tick, in seconds since the epoch.

    `gaps` is the first gap episode without a resolved alert. `last_answers` is {detector: event time of its newest
    verdict that is no error, or None}. `resolved` is {detector: number of alerts about its inactivity that have
    resolved since this verdict}.
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
