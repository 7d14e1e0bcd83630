"""Alerts that the client yields during and after a silence."""

from types import SimpleNamespace

import msgspec
import pytest
from support import alert_records as records

from stream.kafka.tail import Tail
from stream.wire import encode
from weir.client import Client
from weir.client.client import _ChangeFilter

ALERT = records.alert(at=150.0)
SILENCE = records.silence(ALERT, 100.0, 200.0)


def alert(**changes):
    return msgspec.structs.replace(ALERT, **changes)


def yielded(*records, updates=False):
    changes = _ChangeFilter(updates=updates)
    found = [item for item in map(changes.alert, records) if item is not None]
    return [(item.alert_id, item.state, item.silenced) for item in found]


FIRING, MARKED = ("al_1", "firing", False), ("al_1", "firing", True)
ENDED = msgspec.structs.replace(SILENCE, at=160.0, until=160.0)
LATER = [alert(revision=number, at=150.0 + 30 * number) for number in range(5)]
RESOLVED = alert(revision=1, state="resolved", resolved_at=150.0)


@pytest.mark.parametrize(
    ("records", "found"),
    [
        ([SILENCE, ALERT], [MARKED]),
        ([SILENCE, alert(at=200.0)], [FIRING]),
        ([SILENCE, alert(at=99.0)], [FIRING]),
        ([SILENCE, *LATER], [MARKED, FIRING]),  # the alert still fires after its silence and is yielded again, unmarked
        (
            [SILENCE, alert(at=90.0), alert(revision=1)],
            [FIRING],
        ),  # a silence does not yield an alert that was yielded before
        ([SILENCE, alert(at=90.0), RESOLVED], [FIRING, ("al_1", "resolved", True)]),
        ([SILENCE, ALERT, ENDED, alert(alert_id="al_2", at=170.0)], [MARKED, ("al_2", "firing", False)]),
    ],
)
def test_alerts_within_a_silence_are_marked(records, found):
    assert yielded(*records) == found


def test_updates_are_marked_too():
    assert yielded(SILENCE, ALERT, alert(revision=1, at=210.0), updates=True) == [MARKED, FIRING]


def test_a_firing_alert_is_yielded_again_when_its_detector_finds_a_further_feature():
    first, both = alert(features=("prompt_tokens",)), alert(revision=1, at=160.0, features=("prompt_tokens", "error"))
    repeated = alert(revision=2, at=170.0, features=("prompt_tokens", "error"))
    assert yielded(first, both, repeated) == [FIRING, FIRING]
    assert yielded(SILENCE, first, both) == [MARKED]


def test_an_update_of_an_alert_that_fired_before_the_start_is_no_firing():
    changes = _ChangeFilter()
    changes.alert(ALERT, 180.0)  # in the lookback: the client drops what this call returns
    assert changes.alert(alert(revision=1, at=190.0), 180.0) is None
    assert changes.alert(alert(revision=2, state="resolved", at=200.0, resolved_at=200.0), 180.0).at == 200.0


@pytest.mark.parametrize(
    ("opened_at", "begin", "fired"), [(100.0, 180.0, False), (185.0, 180.0, True), (100.0, None, True)]
)
def test_without_the_record_of_its_firing_an_alert_that_opened_before_the_start_is_no_firing(opened_at, begin, fired):
    found = _ChangeFilter().alert(alert(revision=3, opened_at=opened_at, at=190.0), begin)
    assert (found is not None and found.at == opened_at) is fired


def test_the_time_of_an_alert_is_the_time_of_its_change():
    changes = _ChangeFilter()
    changes.alert(SILENCE)
    found = [
        changes.alert(one)
        for one in (
            alert(opened_at=140.0),
            *LATER[1:],
            alert(revision=9, state="resolved", at=400.0, resolved_at=390.0),
        )
    ]
    assert [one.at for one in found if one is not None] == [140.0, 210.0, 390.0]


async def test_the_client_reads_the_alerts_before_the_start_and_yields_none_of_them(monkeypatch, tmp_path):
    log = [
        ALERT,
        alert(alert_id="al_2"),
        alert(revision=1, at=190.0),
        alert(alert_id="al_3", at=191.0),
        alert(revision=2, state="resolved", at=195.0, resolved_at=195.0),
    ]

    class Double(Tail):
        def __init__(self, *_arguments, **_options):
            pass

        def is_lookback(self, record):
            return record.offset < 2

        async def records(self):
            for offset, one in enumerate(encode(records.event(data)) for data in log):
                yield SimpleNamespace(offset=offset, value=one.value, headers=one.headers)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("weir.client.client.Tail", Double)
    found = [item async for item in Client(bootstrap_servers="127.0.0.1:1").alerts()]
    assert [(item.alert_id, item.state) for item in found] == [("al_3", "firing"), ("al_1", "resolved")]
