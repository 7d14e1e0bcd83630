"""What the ledger's own alerts are decided from."""

import msgspec

from stream.ledger.alerts.full_spool import FullSpool
from stream.ledger.alerts.gaps import GapEpisode
from stream.ledger.coverage import MissingVerdicts
from stream.ledger.detector_health import Unanswered

__all__ = ["Observation"]


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """A function of the log; `log_time` is the newest tick time of any source, in seconds since the epoch.

    `gaps` is the first episode of gap records that no resolved alert covers. By detector, `last_answers` has the event
    time of its newest answer (None if it never answered), and `resolved` the resolved alerts about its inactivity since
    then.
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
