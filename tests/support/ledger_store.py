"""A ledger in memory that is told of a log batch by batch, and what its own alerts come to."""

from pathlib import Path

import msgspec

from stream.ledger.decisions import OutgoingAlert
from stream.ledger.store import LedgerStore
from stream.settings import LedgerSettings
from stream.wire import TopicNames


class MemoryFiles:
    """Where a ledger that is kept nowhere lies."""

    directory = Path()
    decisions = ":memory:"

    def shard(self, _partition):
        return ":memory:"


class LedgerBook:
    """A book and everything that it has published."""

    def __init__(self, partitions=1, **settings):
        self._settings = LedgerSettings(**settings)
        self.book = LedgerStore(MemoryFiles(), TopicNames("weir."), partitions, float("inf"))
        self.published = []

    def apply(self, records):
        """Take records without a decision."""
        self.book.apply([records])
        return self

    def look(self, times=1):
        """Decide as the service does once it has caught up; return what was published."""
        before = len(self.published)
        for _ in range(times):
            self.book.decide(self._settings, lambda record, _evidence: OutgoingAlert(record=record))
            for item in self.book.decisions.outbox():
                self.published.append(item.record)
                self.book.decisions.acknowledged(item.record)
        return self.published[before:]

    def close(self):
        self.book.close()

    def alerts(self, detector=None):
        """Return the newest record of each alert, in the order of their opening."""
        newest = {record.alert_id: record for record in self.published}
        chosen = [record for record in newest.values() if detector in {None, record.detector}]
        return sorted(chosen, key=lambda record: (record.opened_at, record.alert_id))

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()


def told(records):
    """Return the short form of records: detector, feature, state."""
    return [(record.detector, record.feature, record.state) for record in records]


def spooled(event, share):
    """Return a tick with the share of its source's spool."""
    return msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, spool=share))
