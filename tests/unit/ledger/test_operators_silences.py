"""The ledger keeps the silences of the log: the newest of each thing, whatever was read again."""

import msgspec
from support.ledger_log import Log

from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import Decisions
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.wire import AlertRecord, Event, SilenceRecord

FIRST = SilenceRecord(
    silence_id="si_1",
    alert_id="al_1",
    tenant="_weir",
    model="",
    side="",
    detector="lag",
    at=100.0,
    until=200.0,
    reason="disk swap",
    by="jo",
)


def event(data):
    return Event(id="x", source="w", type=data.event_type, time=1.0, data=data, partitionkey="k")


def test_the_newest_silence_counts_and_alerts_are_what_they_were(tmp_path):
    files, log = LedgerFiles(tmp_path), Log()
    ended = msgspec.structs.replace(FIRST, at=150.0, until=150.0)
    firing = AlertRecord(
        alert_id="al_1",
        state="firing",
        detector="lag",
        severity="warning",
        tenant="_weir",
        model="",
        side="",
        opened_at=90.0,
        at=120.0,
    )
    decisions = Decisions(files.decisions)
    try:
        records = log.records("weir.alerts", event(FIRST), event(firing))
        assert decisions.apply(records) == 2
        reader = LedgerReader(tmp_path)
        assert reader.silences().active(120.0) == [FIRST]
        assert reader.own_alerts() == [firing]
        assert [item.record for item in decisions.own_firing()] == [firing]
        decisions.apply(log.records("weir.alerts", event(ended), event(FIRST)))
        assert reader.silences().newest("si_1") == ended
        assert decisions.database.execute("SELECT sum(records) FROM skipped").fetchone() == (None,)
    finally:
        decisions.close()


def test_without_a_ledger_nothing_is_silenced(tmp_path):
    assert LedgerReader(tmp_path).silences().active(1.0) == []
