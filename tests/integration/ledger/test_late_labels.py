"""Labels that arrive hours late, out of order and twice, through a real Kafka and the running ledger."""

import random

import pytest
from support.events import event_of, tick
from support.kafka_log import fresh_topics, sender, until
from support.ledger_log import end
from support.ledger_log import request as inference_request
from support.running_ledger import running_ledger

from stream.kafka.tail import Tail
from stream.ledger.queries.judged_answers import accuracy_hours
from stream.settings import AccuracySettings, TenantSettings
from stream.wire import AlertRecord, LabelRecord, decode

pytestmark = pytest.mark.kafka
GOOD, BAD = 120, 60
HOUR = 3600.0
TENANT = TenantSettings(accuracy=AccuracySettings(reference_events=60, alarm_every_events=1_000))


def labels():
    """Return labels of one answer a minute: nearly all are correct at first, later most are wrong."""
    draw = random.Random(3)
    found = []
    for number in range(GOOD + BAD):
        value = float(draw.random() < (0.97 if number < GOOD else 0.4))
        at = 60.0 * number + HOUR * draw.uniform(1, 9)
        data = LabelRecord(label_id=f"r{number}", request_id=f"r{number}", tenant="acme", at=at, value=value)
        found.append(event_of(data, f"r{number}/label", at))
    return found


async def observed(broker, home, delivered, batches):
    """Deliver answers, then the labels in batches; return accuracy by hour, and the alerts about accuracy."""
    kafka, draw = await fresh_topics(broker.bootstrap), random.Random(batches)
    async with sender(kafka) as to, running_ledger(home, kafka, tenants=lambda _tenant: TENANT) as reader:
        for partition in (0, 1):
            numbers = range(partition, GOOD + BAD, 2)
            events = [make(f"r{at}", 60.0 * at, owed=()) for at in numbers for make in (inference_request, end)]
            await to.send(kafka.names.inference, *events, partition=partition)
        size = -(-len(delivered) // batches)
        for start in range(0, len(delivered), size):
            await to.spread(kafka.names.feedback, delivered[start : start + size], lambda _event: draw.randrange(2))
            for partition in (0, 1):
                await to.send(kafka.names.inference, tick(10 * HOUR + start), partition=partition)
        await until(
            "all labels", lambda: sum(hour.answers for hour in accuracy_hours(reader.judged_answers())) == GOOD + BAD
        )

        async def alerts():
            tail = Tail(kafka.client_options(), kafka.names.alerts, follow=False)
            found = [decode(record.value, record.headers).data async for record in tail.records()]
            return {one.alert_id for one in found if isinstance(one, AlertRecord) and one.detector == "accuracy"}

        return accuracy_hours(reader.judged_answers()), await until("the alert", alerts)


async def test_labels_hours_late_and_out_of_order_give_the_same_accuracy_and_one_alert(embedded_broker, tmp_path):
    made = labels()
    shuffled = made + made[:40]
    random.Random(8).shuffle(shuffled)
    hours, alerts = await observed(embedded_broker, tmp_path / "ordered", made, 1)
    other_hours, other_alerts = await observed(embedded_broker, tmp_path / "shuffled", shuffled, 6)
    assert other_hours == hours
    assert len(hours) == 3
    assert other_alerts == alerts
    assert len(alerts) == 1
