"""The alert about a full spool: opens if the used share reaches ALERT_SHARE, resolves if it falls below CLEAR_SHARE."""

import msgspec

from stream.ledger.alerts.condition import Condition
from stream.score_text import percent_text

ALERT_SHARE = 0.8
CLEAR_SHARE = 0.6


class FullSpool(msgspec.Struct, frozen=True, kw_only=True):
    """A source whose spool reached :data:`ALERT_SHARE` at event time `since`; `share` is the share in use now."""

    source: str
    since: float
    share: float


def full_spool(spool: FullSpool) -> Condition:
    """Return the condition that opens the alert about `spool`."""
    return Condition(
        detector="spool",
        feature=spool.source,
        severity="critical",
        summary=f"The spool of {spool.source} is {percent_text(spool.share)} full (limit {percent_text(ALERT_SHARE)})",
        opening=f"{spool.source}@{spool.since!r}",
        opened_at=spool.since,
        statistic=spool.share,
        limit=ALERT_SHARE,
    )
