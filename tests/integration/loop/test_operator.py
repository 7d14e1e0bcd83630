"""Approve and reject retraining, and import labels, as an operator does, on a real broker."""

import json

import pytest
from support.commands import Commands
from support.kafka_log import fresh_topics, sender

from stream.kafka.tail import Tail
from stream.wire import Event, LabelRecord, LogRange, RetrainingRecord, partition_for, readable, tenant_model_key
from weir.home.api_keys import create_key

pytestmark = pytest.mark.kafka


class Operator:
    def __init__(self, kafka, home):
        self.kafka, self.home = kafka, home
        self._commands = Commands(home, kafka)

    async def request(self, retraining_id, *states):
        """Publish a request and its later states. The state ``dataset`` and each state after it name a dataset."""
        for state in ("requested", *states):
            data = RetrainingRecord(
                retraining_id=retraining_id,
                state=state,
                reason="drift and pii agree",
                tenant="acme",
                model="m",
                at=10.0,
                pins=(LogRange(topic=self.kafka.names.feedback, first={"0": 0}, last={"0": 1}),),
                versions={"weir": "1"},
                dataset_digest="d1" if "dataset" in states and state in states[states.index("dataset") :] else "",
            )
            key = tenant_model_key("acme", "m")
            event = Event(
                id=f"{retraining_id}/{state}", source="t", type=data.event_type, time=10.0, data=data, partitionkey=key
            )
            partition = partition_for(key, self.kafka.stream_partitions)
            async with sender(self.kafka) as to:
                await to.send(self.kafka.names.retraining, event, partition=partition)

    async def decide(self, what, retraining_id, *scopes, tenant="acme", **options):
        """Run ``weir retraining WHAT`` with a new key; return (exit status, error, id of the key)."""
        record, secret = create_key(self.home, tenant, scopes)
        file = self.home / f"{record.id}.key"
        file.write_text(secret + "\n")
        done = await self.run("retraining", what, retraining_id, "--key-file", str(file))
        return done.returncode, done.stderr, record.id

    async def run(self, *arguments):
        return await self._commands.run(*arguments)

    async def records(self, topic, kind):
        tail = Tail(self.kafka.client_options(), topic, follow=False)
        events = [readable(record.value, record.headers) async for record in tail.records()]
        return [event.data for event in events if isinstance(event.data, kind)]

    async def decisions(self):
        found = await self.records(self.kafka.names.retraining, RetrainingRecord)
        return [(one.retraining_id, one.state, one.by) for one in found if one.state in {"approved", "rejected"}]

    def logged(self):
        lines = (self.home / "logs" / "access.log").read_text().splitlines()
        return [(entry["outcome"], entry["result"], entry.get("key")) for entry in map(json.loads, lines)]


@pytest.fixture
async def operator(embedded_broker, tmp_path):
    return Operator(await fresh_topics(embedded_broker.bootstrap), tmp_path)


async def test_only_a_key_with_the_scope_decides_and_every_attempt_is_logged(operator):
    async with sender(operator.kafka) as to:  # two labels; the request pins only the first
        for number in range(2):
            data = LabelRecord(label_id=f"l{number}", request_id="r", tenant="acme", at=1.0, value=1.0)
            event = Event(id=f"l{number}", source="t", type=data.event_type, time=1.0, data=data, partitionkey="k")
            await to.send(operator.kafka.names.feedback, event)
    await operator.request("rt_1")
    await operator.request("rt_2", "approved", "started")
    status, error, scopeless = await operator.decide("approve", "rt_1", "infer", "review")
    assert (status, "lacks the scope approve" in error) == (1, True)
    status, error, other = await operator.decide("approve", "rt_1", "approve", tenant="elm")
    assert (status, "belongs to tenant elm" in error) == (1, True)
    assert await operator.decisions() == [("rt_2", "approved", "")]
    status, error, key = await operator.decide("approve", "rt_1", "approve")
    assert (status, "[train] enabled is false" in error, 'mode is "propose"' in error) == (0, True, True)
    status, _, again = await operator.decide("approve", "rt_1", "approve")
    assert status == 0
    status, error, late = await operator.decide("reject", "rt_2", "approve")
    assert (status, "is started by Weir" in error) == (1, True)
    status, error, _ = await operator.decide("approve", "rt_unknown", "approve")
    assert (status, "no retraining request 'rt_unknown'" in error) == (1, True)
    assert await operator.decisions() == [("rt_2", "approved", ""), ("rt_1", "approved", key)]
    (approved,) = [
        one for one in await operator.records(operator.kafka.names.retraining, RetrainingRecord) if one.by == key
    ]
    assert approved.pins[0].last == {"0": 2}, "an approval pins the present end of the log"
    assert (approved.pins[0].first, approved.versions, approved.tenant) == ({"0": 0}, {"weir": "1"}, "acme")
    assert operator.logged() == [
        ("approved", "denied", scopeless),
        ("approved", "denied", other),
        ("approved", "allowed", key),
        ("approved", "allowed", again),
        ("rejected", "refused", late),
    ]


async def test_a_resumed_request_uses_the_reviews_since_its_failure_unless_it_has_a_dataset(operator):
    async with sender(operator.kafka) as to:
        for number in range(2):  # the request pins only the first label
            data = LabelRecord(label_id=f"l{number}", request_id="r", tenant="acme", at=1.0, value=1.0)
            event = Event(id=f"l{number}", source="t", type=data.event_type, time=1.0, data=data, partitionkey="k")
            await to.send(operator.kafka.names.feedback, event)
    await operator.request("rt_few", "approved", "failed")
    await operator.request("rt_built", "approved", "dataset", "failed")
    for retraining_id in ("rt_few", "rt_built"):
        status, error, _ = await operator.decide("resume", retraining_id, "approve")
        assert status == 0, error
    resumed = [
        (one.retraining_id, one.pins[0].last)
        for one in await operator.records(operator.kafka.names.retraining, RetrainingRecord)
        if one.reason.startswith("resumed")
    ]
    assert resumed == [("rt_few", {"0": 2}), ("rt_built", {"0": 1})]


async def test_a_request_that_is_published_again_after_work_has_begun_is_not_open(operator):
    await operator.request("rt_1", "approved", "started", "requested")
    for decision in ("approve", "reject"):
        status, error, _ = await operator.decide(decision, "rt_1", "approve")
        assert (status, "is started by Weir" in error) == (1, True), error


async def test_a_promotion_states_that_delivery_is_off(operator):
    folder = operator.home / "loop" / "models" / "m_0123456789ab"
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(b"weights")
    promote = ("models", "promote", "m_0123456789ab", "--tenant", "acme", "--model", "m", "--reason", "tested")
    done = await operator.run(*promote)
    assert (done.returncode, "[delivery] enabled is false" in done.stderr) == (0, True), done.stderr
    (blessed,) = await operator.records(operator.kafka.names.retraining, RetrainingRecord)
    assert (blessed.state, blessed.model_version) == ("blessed", "m_0123456789ab")
    now = await operator.run(*promote, "--now")
    assert (now.returncode, "[delivery]" in now.stderr) == (0, False)


async def test_labels_are_imported_twice_as_the_same_records(operator):
    lines = [{"request_id": f"r-{row}", "correct": row % 3 > 0, "source": "crm"} for row in range(1_200)]
    file = operator.home / "labels.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    for _ in range(2):
        done = await operator.run("labels", "import", str(file), "--tenant", "acme", "--json")
        assert json.loads(done.stdout) == {"imported": 1_200, "tenant": "acme"}
    found = await operator.records(operator.kafka.names.feedback, LabelRecord)
    assert len(found) == 2_400
    assert len(set(found)) == len({one.label_id for one in found}) == 1_200
    assert sum(one.value for one in set(found)) == 800
    assert {one.tenant for one in found} == {"acme"}
