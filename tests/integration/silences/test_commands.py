"""Silences: `weir alerts silence` and `unsilence`, and alerts that are followed while a silence is in force."""

import asyncio
import contextlib
import json
import signal
import time

import pytest
from support import alert_records
from support.commands import Commands
from support.kafka_log import fresh_topics, sender

from stream.kafka.tail import Tail
from stream.silences import silence_id_of
from stream.wire import SilenceRecord, decode, partition_for, tenant_model_key
from weir.client import Client

pytestmark = pytest.mark.kafka
PLACE = partition_for(tenant_model_key("acme", "m"), 2)


def alert(alert_id, **fields):
    given = {"severity": "critical", "runbook": "", "evidence": (), "evidence_total": 0} | alert_records.now() | fields
    make = alert_records.resolved if given.get("state") == "resolved" else alert_records.alert
    return alert_records.event(make(alert_id, **given | ({"resolved_at": given["at"]} if "state" in given else {})))


class Operator:
    def __init__(self, kafka, directory):
        self.kafka = kafka
        self._commands = Commands(directory, kafka)

    async def alerts(self, *arguments):
        return await self._commands.run("alerts", *arguments)

    async def start(self, *arguments):
        return await self._commands.start("alerts", *arguments)

    async def fire(self, *events):
        async with sender(self.kafka) as to:
            await to.send(self.kafka.names.alerts, *events, partition=PLACE)

    async def told(self, *arguments):
        """Return {alert id: silenced} from the JSON output of `weir alerts`."""
        lines = (await self.alerts("--json", *arguments)).stdout.splitlines()
        return {item["alert_id"]: item["silenced"] for item in map(json.loads, lines)}

    async def records(self):
        """Return (partition, key, data) of every silence on the topic."""
        tail = Tail(self.kafka.client_options(), self.kafka.names.alerts, follow=False)
        async with contextlib.aclosing(tail.records()) as records:
            found = [(one.partition, one.key, decode(one.value, one.headers).data) async for one in records]
        return [one for one in found if isinstance(one[2], SilenceRecord)]


@pytest.fixture
async def operator(embedded_broker, tmp_path):
    return Operator(await fresh_topics(embedded_broker.bootstrap), tmp_path)


async def test_silenced_alerts_are_hidden_or_marked_until_the_silence_ends(operator):
    await operator.fire(alert("al_1"), alert("al_other", side="output"))
    made = await operator.alerts("silence", "al_1", "--for", "2h", "--reason", "load test", "--json")
    assert made.returncode == 0, made.stderr
    silence = json.loads(made.stdout)
    assert (silence["alert_id"], silence["reason"], silence["detector"]) == ("al_1", "load test", "pii")
    assert silence["until"] - silence["at"] == pytest.approx(7200)
    await operator.fire(alert("al_2"), alert("al_3", side="output"), alert("al_1", state="resolved", revision=1))
    assert await operator.told("--since", "10m") == {"al_1": True, "al_other": False, "al_2": True, "al_3": False}
    await check_text(operator)
    (listed,) = json.loads((await operator.alerts("silences", "--json")).stdout)
    assert listed == silence
    assert "load test" in (await operator.alerts("silences")).stdout
    ended = await operator.alerts("unsilence", "al_2")  # the id of any muted alert identifies the silence
    assert "silence ended: acme/m/input/pii" in ended.stdout, ended.stderr
    await operator.fire(alert("al_4"))
    assert (await operator.told())["al_4"] is False
    assert "nothing is silenced" in (await operator.alerts("silences")).stdout
    await check_log(operator)


async def check_text(operator):
    """Check that the text output states how many alerts are hidden, and shows them with --silenced."""
    listed = await operator.alerts()
    assert [word for word in ("al_1", "al_other", "al_2", "al_3") if f"summary of {word}" in listed.stdout] == [
        "al_1",  # it fired before the silence; its resolution is muted
        "al_other",
        "al_3",
    ]
    assert "2 silenced alerts are hidden" in listed.stderr
    everything = await operator.alerts("--silenced")
    assert "summary of al_2  silenced  (al_2)" in everything.stdout
    assert "left out" not in everything.stderr


async def check_log(operator):
    """Check the records: one key, the partition of the tenant's and model's alerts, and `until` = `at` in the record that ends it."""
    records = await operator.records()
    assert {(place, key) for place, key, _ in records} == {(PLACE, silence_id_of(alert("x").data).encode())}
    first, second = [data for _, _, data in records]
    assert first.until == pytest.approx(first.at + 7200)
    assert second.until == second.at > first.at


async def test_following_omits_silenced_alerts_until_the_silence_ends(operator):
    await operator.fire(alert("al_1"))
    following = await operator.start("--follow", "--since", "1h")
    try:
        async with asyncio.timeout(60):
            assert b"summary of al_1" in await following.stdout.readline()
            made = await operator.alerts("silence", "al_1", "--for", "1m", "--reason", "x")
            assert made.returncode == 0, made.stderr
            await operator.fire(alert("al_2"), alert("al_3", side="output"))
            assert b"summary of al_3" in await following.stdout.readline()
            assert (await operator.alerts("unsilence", "al_1")).returncode == 0
            await operator.fire(alert("al_2", revision=1))
            assert b"summary of al_2" in await following.stdout.readline()
        following.send_signal(signal.SIGINT)
        _, errors = await asyncio.wait_for(following.communicate(), 20)
        assert following.returncode == 0
        assert b"1 silenced alert is hidden" in errors
    finally:
        with contextlib.suppress(ProcessLookupError):
            if following.returncode is None:
                following.kill()
                await following.wait()


async def test_a_client_that_starts_now_applies_earlier_silences(operator):
    await operator.fire(alert("al_1"))
    assert (await operator.alerts("silence", "al_1", "--for", "2h", "--reason", "x")).returncode == 0
    client = Client(bootstrap_servers=operator.kafka.bootstrap_servers, topic_prefix=operator.kafka.topic_prefix)
    async with contextlib.aclosing(client.alerts()) as live:
        first = asyncio.create_task(anext(live))
        number = 0
        deadline = time.monotonic() + 60
        while not first.done():  # the consumer seeks the end some time after its start
            assert time.monotonic() < deadline
            number += 1
            await operator.fire(alert(f"al_new_{number}"))
        found = await first
    assert found.alert_id.startswith("al_new"), "earlier records are read only for silences"
    assert found.silenced
    async with contextlib.aclosing(client.alerts(since="1h", follow=False)) as recent:
        assert {item.alert_id: item.silenced async for item in recent}["al_1"] is False


async def test_an_unknown_alert_or_silence_is_an_error_that_names_the_fix(operator):
    await operator.fire(alert("al_1"), alert("al_2", side="output", state="resolved", revision=1))
    unknown = await operator.alerts("silence", "al_0", "--for", "2h", "--reason", "x")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "no alert 'al_0' on" in unknown.stderr
    assert "`weir alerts` prints ids" in unknown.stderr
    for name, words in (
        ("al_1", "no silence in force covers al_1"),
        ("al_0", "no alert 'al_0'"),
        ("si_0", "no silence 'si_0'"),
    ):
        result = await operator.alerts("unsilence", name)
        assert result.returncode == 1
        assert words in result.stderr
    resolved = await operator.alerts("silence", "al_2", "--for", "2h", "--reason", "x")
    assert resolved.returncode == 0
    assert "the alert is resolved" in resolved.stderr
    (silence,) = json.loads((await operator.alerts("silences", "--json")).stdout)
    assert (await operator.alerts("unsilence", silence["silence_id"])).returncode == 0
    again = await operator.alerts("unsilence", silence["silence_id"])
    assert f"no silence in force covers {silence['silence_id']}" in again.stderr
