"""Requests of Weir's own tenant: recorded like all others, with a refusal verdict expected, and in no user's metrics."""

from stream.wire import OWN_TENANT, RequestRecord, ResponseRecord

KEY = "weir-own-key"
_LATENCY = "gen_ai_server_request_duration_seconds_count"


def counted(stack):
    return sum(s.value for metric in stack.registry.collect() for s in metric.samples if s.name == _LATENCY)


async def test_a_sentinel_is_recorded_and_in_no_users_metrics(stack):
    stack.write_keys(("k_w", OWN_TENANT, KEY, None), ("k_1", "acme", "weir-test-key", None))
    headers = {"authorization": f"Bearer {KEY}", "x-weir-conversation-id": "sentinel/1/fact"}
    body = {"model": "echo", "messages": [{"role": "user", "content": "one two"}]}
    assert (await stack.client.post("/v1/chat/completions", json=body, headers=headers)).status_code == 200
    assert counted(stack) == 0
    assert (await stack.chat("three")).status_code == 200
    assert counted(stack) == 1
    records = [event.data for event in stack.records()]
    request, end = [data for data in records if data.tenant == OWN_TENANT]
    assert isinstance(request, RequestRecord)
    assert isinstance(end, ResponseRecord)
    assert (request.owed, end.owed) == ((), ("refusal",))
    assert request.conversation_id == end.conversation_id == "sentinel/1/fact"
    users = [data.owed for data in records if data.tenant == "acme"]
    assert users == [("pii", "injection"), ("pii", "refusal")]
