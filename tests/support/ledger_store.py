"""A ledger in memory that stores records batch by batch, and the alerts that it publishes."""

from pathlib import Path

import msgspec

from stream.ledger.decisions import OutgoingAlert
from stream.ledger.store import LedgerStore
from stream.settings import LedgerSettings, TenantSettings
from stream.wire import TopicNames


class MemoryFiles:
    """The paths of a ledger without files."""

    directory = Path()
    decisions = ":memory:"

    def shard(self, _partition):
        return ":memory:"


class MemoryLedger:
    """A ledger store in memory, and all alerts that it has published."""

    def __init__(
        self, partitions=1, tenants=lambda _tenant: TenantSettings(), retention_seconds=float("inf"), **settings
    ):
        self._settings = LedgerSettings(**settings)
        self.store = LedgerStore(
            MemoryFiles(),
            TopicNames("weir."),
            partitions,
            retention_seconds,
            tenants=tenants,
            scan_share=1.0,  # each decision uses the newest labels and missing verdicts
        )
        self.published = []

    def apply(self, records):
        """Store records without a decision."""
        self.store.apply([records])
        return self

    def decide(self, times=1):
        """Decide as the service does when it has caught up; return the published records."""
        before = len(self.published)
        for _ in range(times):
            self.store.decide(self._settings, lambda record, _evidence: OutgoingAlert(record=record))
            for alert in self.store.decisions.outbox():
                self.published.append(alert.record)
                self.store.decisions.acknowledged(alert.record)
        return self.published[before:]

    def alerts(self, detector=None):
        """Return the newest record of each alert, by opening time."""
        newest = {record.alert_id: record for record in self.published}
        chosen = [record for record in newest.values() if detector in {None, record.detector}]
        return sorted(chosen, key=lambda record: (record.opened_at, record.alert_id))

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.store.close()


def states(records):
    """Return (detector, feature, state) of records."""
    return [(record.detector, record.feature, record.state) for record in records]


def spooled(event, share):
    """Return a tick with the used share of its source's spool."""
    return msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, spool=share))
