"""Labels that arrive hours late and out of order lead to the same accuracy and to one alert."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from support.events import event_of
from support.ledger_log import Log, end
from support.ledger_store import MemoryLedger

from stream.ledger.queries.judged_answers import accuracy_hours, judged_answers
from stream.settings import AccuracySettings, TenantSettings
from stream.wire import LabelRecord, Tick

PARTITIONS = 3
GOOD, BAD = 120, 60
TENANT = TenantSettings(accuracy=AccuracySettings(reference_events=60, alarm_every_events=1_000))


def answers(seed):
    draw = random.Random(seed)
    return [(f"r{row}", 60.0 * row, float(draw.random() < (0.97 if row < GOOD else 0.4))) for row in range(GOOD + BAD)]


def label(request_id, value):
    data = LabelRecord(label_id=request_id, request_id=request_id, tenant="acme", at=1e5, value=value)
    return event_of(data, f"{request_id}/label/{request_id}", 1e5)


def tick(log, time):
    data = Tick(sources={"s1": time})
    return log.records("weir.inference", event_of(data, f"s1/tick/{time}", time, source="s1"))


def observed(given_answers, order, batch):
    """Deliver the labels in `order`, `batch` at a time, and decide after each batch; return accuracy and alerts."""
    log = Log()
    with MemoryLedger(PARTITIONS, tenants=lambda _tenant: TENANT) as ledger:
        ledger.apply([*tick(log, 1.0), *log.inference(*(end(name, time) for name, time, _ in given_answers))])
        for start in range(0, len(order), batch):
            for row in order[start : start + batch]:
                name, _, value = given_answers[row]
                ledger.apply(log.records("weir.feedback", label(name, value), partition=row % PARTITIONS))
            ledger.apply(tick(log, 2e5 + 10.0 * start))
            ledger.decide()
        hours = accuracy_hours(judged_answers(ledger.store._databases))
        (found,) = ledger.store.accuracy().values()
        return hours, found, ledger.alerts("accuracy")


@settings(max_examples=15)
@given(seed=st.integers(0, 3), shuffle=st.randoms(use_true_random=False), batch=st.sampled_from([7, 30]))
def test_shuffled_labels_have_the_same_accuracy_and_one_alert(seed, shuffle, batch):
    known = answers(seed)
    rows = list(range(len(known)))
    hours, found, alerts = observed(known, rows, 30)
    shuffled = rows + shuffle.sample(rows, 40)  # 40 labels are duplicates
    shuffle.shuffle(shuffled)
    other_hours, other_found, other_alerts = observed(known, shuffled, batch)
    assert other_hours == hours
    assert other_found == found
    assert [(alert.alert_id, alert.state, alert.model) for alert in other_alerts] == [
        (alert.alert_id, "firing", "m") for alert in alerts
    ]
    assert len(alerts) == 1
