"""A flood of requests: each is answered, each accepted request has an end record, and rejected requests do not increase memory."""

from collections import Counter

from support.flood import gateway, peaks
from support.gateway import CAPACITY
from support.memory import MIB
from support.spool import events_of

from stream.wire import RequestRecord, ResponseRecord

FLOOD = 300
#: The request bodies have over 100 MiB in all, and memory has several copies of each body while it is read and answered.
SLACK_BYTES = 48 * MIB


async def test_a_flood_is_rejected_with_openai_errors_and_uses_no_more_memory_than_at_capacity(tmp_path):
    with gateway(tmp_path) as (pid, url):
        at_capacity, in_flood, answers = await peaks(pid, url, FLOOD)
    assert in_flood - at_capacity < SLACK_BYTES
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 503}, statuses
    assert statuses[200] >= CAPACITY
    for answer in answers:
        if answer.status_code == 503:
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
            assert answer.json()["error"]["code"] == "queue_full"
            assert int(answer.headers["retry-after"]) >= 1
        assert len(answer.headers.get_list("x-request-id")) == 1
    events = [event for path in (tmp_path / "spool").glob("gateway-*") for event in events_of(path)]
    begun = {event.correlationid for event in events if isinstance(event.data, RequestRecord)}
    ended = {event.correlationid: event.data.status for event in events if isinstance(event.data, ResponseRecord)}
    answered = {answer.headers["x-request-id"] for answer in (*answers,) if answer.status_code == 200}
    assert begun == set(ended)
    assert answered <= {name for name, status in ended.items() if status == "complete"}
