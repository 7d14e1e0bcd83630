"""How full the spools of the sources are, from capture's ticks: design.md decision 2 wants to hear of it at 80 %.

While Kafka is away no tick arrives and nothing here can tell; then `weir status` does, from the disk. What is here is for a Kafka or a
shipper that is too slow, and for the record afterwards.
"""

from collections.abc import Iterable, Sequence

import msgspec

from stream.ledger.coverage import SourceTime

__all__ = ["ALERT_SHARE", "CLEAR_SHARE", "FullSpool", "full_spools"]

#: Share of a spool's bound that is an alert, and the one below which it is over.
ALERT_SHARE = 0.8
CLEAR_SHARE = 0.6


class FullSpool(msgspec.Struct, frozen=True, kw_only=True):
    """A source whose spool has passed the bound at the tick of time `since`, and is taken to `share` now."""

    source: str
    since: float
    share: float


def full_spools(shards: Iterable[Sequence[SourceTime]]) -> tuple[FullSpool, ...]:
    """Return the sources past the bound, as the partition that was read furthest has them; one that has closed is over."""
    newest: dict[str, SourceTime] = {}
    for sources in shards:
        for one in sources:
            known = newest.get(one.source)
            if known is None or _place(one) > _place(known):
                newest[one.source] = one
    return tuple(
        FullSpool(source=name, since=one.spool_since, share=one.spool)
        for name, one in sorted(newest.items())
        if one.spool_since is not None and not one.capture_closed
    )


def _place(one: SourceTime) -> tuple[bool, float]:
    return one.capture_closed, one.capture_time or 0.0
