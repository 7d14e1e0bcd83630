"""Silences in the ledger: of several silences with one target, the newest is kept, in any order of arrival."""

import msgspec
from support.events import event_of

from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import Decisions
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.wire import AlertRecord, SilenceRecord

LAG = {"tenant": "_weir", "model": "", "side": "", "detector": "lag", "alert_id": "al_1"}
SILENCE = SilenceRecord(silence_id="si_1", at=100.0, until=200.0, reason="disk swap", by="jo", **LAG)
ALERT = AlertRecord(state="firing", severity="warning", opened_at=90.0, at=120.0, **LAG)


def records(log, *entries):
    return log.records("weir.alerts", *(event_of(data, "x", 1.0) for data in entries))


def test_the_newest_silence_is_kept_and_alerts_are_unchanged(log, tmp_path):
    ended = msgspec.structs.replace(SILENCE, at=150.0, until=150.0)
    decisions = Decisions(LedgerFiles(tmp_path).decisions)
    try:
        assert decisions.apply(records(log, SILENCE, ALERT)) == 2
        reader = LedgerReader(tmp_path)
        assert reader.silences().active(120.0) == [SILENCE]
        assert reader.own_alerts() == [ALERT]
        assert [alert.record for alert in decisions.own_firing()] == [ALERT]
        decisions.apply(records(log, ended, SILENCE))
        assert reader.silences().newest("si_1") == ended
        assert decisions.database.execute("SELECT sum(records) FROM skipped").fetchone() == (None,)
    finally:
        decisions.close()


def test_without_a_ledger_there_are_no_silences(tmp_path):
    assert LedgerReader(tmp_path).silences().active(1.0) == []
