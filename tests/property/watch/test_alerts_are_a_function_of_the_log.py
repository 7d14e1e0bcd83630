"""I3 and I4 for alerts: a recorded findings partition gives the same alerts, whatever is read again and wherever it breaks."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from support.alert_log import ACME, Alerts, bucket_finding
from support.signal_log import finding_of, watch_tick

from stream.wire import Tick
from stream.wire.ids import alert_id

RESOLVE = 300.0


def recorded(seed, seconds=1500):
    """Return findings of events and buckets with a tick a second, late ones among them, some of the findings twice."""
    random_ = random.Random(seed)
    log, alarm = [], False
    for second in range(seconds):
        if random_.random() < 0.01 or (log and random_.random() < 0.3 and second % 500 < 20):
            time = second + 0.5 - random_.choice((0, 0, 0, 40))
            log.append(finding_of(f"r{second}", max(time, 0), random_.choice(("pii", "toxicity"))))
        if second % 5 == 4:
            alarm = alarm if random_.random() < 0.9 else not alarm
            log.append(bucket_finding(second // 5, alarm=alarm and random_.random() < 0.8))
        log.append(watch_tick(float(second)))
        if random_.random() < 0.01:
            log.append(random_.choice([event for event in log[-400:] if not isinstance(event.data, Tick)] or log))
    return log


def opened(log):
    """Return the ids that a plain pass finds: an alert opens on the first finding after the last one was long enough ago.

    Log time has come to the second before a finding is read, so that what is due by then has resolved.
    """
    ids, seen, last, now = set(), set(), {}, -1.0
    for event in log:
        if isinstance(event.data, Tick):
            now = event.data.watermark
            last = {name: time for name, time in last.items() if now < time + RESOLVE}
        elif event.data.bucket is None and event.id not in seen:
            seen.add(event.id)
            name = event.data.detector
            if name not in last:
                ids.add(alert_id(ACME, name, event.id))
            last[name] = max(last.get(name, 0.0), event.data.time)
    return ids


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), crashes=st.lists(st.floats(0, 1), max_size=5))
def test_crashes_and_repetitions_change_no_alert_and_an_oracle_finds_the_same(seed, crashes):
    log = recorded(seed)
    expected = Alerts().run(log)
    singles = {record.data.alert_id for record in expected if record.data.detector != "drift"}
    assert singles == opened(log)
    random_, worker, told, position = random.Random(seed), Alerts(), [], 0
    for crash in sorted(crashes):
        written = max(int(crash * len(log)), position)
        told += worker.run(log[position:written], position)
        worker.restart()
        lost = Alerts()
        lost.states = worker.states
        lost.restart()
        told += lost.run(log[written : written + random_.randint(0, 30)], written)
        position = random_.randint(max(0, written - 60), written)
    told += worker.run(log[position:], position)
    assert {record.id: record for record in told} == {record.id: record for record in expected}
