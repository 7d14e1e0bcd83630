"""Recovery of a table, without a broker: it keeps the state that has read the log furthest and not the last written
state.
"""

import asyncio
from types import SimpleNamespace
from unittest.mock import AsyncMock

import pytest
from faust.types import TP

from stream.errors import StateUnreadable
from stream.kafka.publisher import Publisher
from stream.runtime.app import create_base_app
from stream.settings import KafkaSettings
from stream.stages.alert.state import StreamAlerts
from stream.stages.retrain.state import AlertsHalf, RequestsHalf
from stream.stages.shared.state_codec import encode, offset_order
from stream.stages.watch.state import LivenessState, SourcesState, StreamState, liveness_key, sources_key
from stream.stages.watch.state import order as watch_order

KEY = b"acme\x1fm\x1finput"
ACTIVE = {TP("changelog", 1)}


class Producer:
    def __init__(self):
        self.sent = []

    async def send(self, topic, key, value, partition, *_):
        self.sent.append((key, value, partition))
        future = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future


@pytest.fixture
def producer():
    return Producer()


@pytest.fixture
def table(tmp_path, producer):
    app = create_base_app("x", KafkaSettings(bootstrap_servers="127.0.0.1:1"), data_dir=tmp_path)
    app.publisher = Publisher(lambda: producer)
    app._consumer = SimpleNamespace(topic_partitions=lambda _: 2)
    return app.raw_table("streams", 2, watch_order)


def state(last_closed, seconds=5.0):
    return encode(StreamState(seconds=seconds, last_closed=last_closed, last_event=last_closed))


def record(value, key=KEY, partition=1):
    return SimpleNamespace(key=key, value=value, message=SimpleNamespace(value=value, partition=partition))


async def test_an_older_state_after_a_newer_state_is_ignored_and_the_newer_state_is_written_again(table, producer):
    """A worker that was stopped past its session timeout wrote bucket 4 after another worker had written bucket 7."""
    table.apply_changelog_batch([record(state(3)), record(state(7)), record(state(4))])
    await table.on_recovery_completed(ACTIVE, set())
    assert (table.data[KEY], producer.sent) == (state(7), [(KEY, state(7), 1)])
    table.apply_changelog_batch([record(state(4))])
    await table.on_recovery_completed(ACTIVE, set())
    assert (table.data[KEY], producer.sent) == (state(7), 2 * [(KEY, state(7), 1)])


async def test_if_a_newer_state_is_recovered_during_a_write_the_newer_state_is_written_again(table, producer):
    """The write was retried while its partition was assigned to another worker and then back to this worker."""

    async def sent(*record):
        if not producer.sent:
            table.data[KEY] = state(7)
        return await Producer.send(producer, *record)

    producer.send = sent
    await table.put(KEY, state(4), partition=1)
    assert table.data[KEY] == state(7)
    assert [value for _, value, _ in producer.sent] == [state(4), state(7)]


async def test_a_repaired_state_and_a_state_in_a_partition_of_another_worker_are_not_written(table, producer):
    table.apply_changelog_batch([record(state(7)), record(state(4)), record(state(7))])
    table.apply_changelog_batch([record(state(9), b"other", 0), record(state(2), b"other", 0)])
    await table.on_recovery_completed(ACTIVE, set())
    assert (table.data[KEY], producer.sent) == (state(7), [])


async def test_an_unreadable_state_is_kept_and_so_is_a_state_after_it(table, producer):
    """An unreadable state can be newer, from a later version of Weir.

    So it is rebuilt from the log, and the state before it is not used.
    """
    table.apply_changelog_batch([record(state(7)), record(b"\xc1")])
    assert table.data[KEY] == b"\xc1"
    table.apply_changelog_batch([record(state(2))])
    assert table.data[KEY] == state(2)
    await table.on_recovery_completed(ACTIVE, set())
    assert producer.sent == []


async def test_a_tombstone_deletes_a_state(table):
    table.apply_changelog_batch([record(state(7)), record(None), record(state(0))])
    assert table.data[KEY] == state(0)


def test_the_order_of_a_state_is_the_position_that_it_has_read_in_the_log():
    assert watch_order(KEY, state(3, 30.0)) == watch_order(KEY, state(23)) < watch_order(KEY, state(24))
    silence = encode(LivenessState(seconds=5.0, offset=17, lanes=[]))
    assert watch_order(liveness_key(12).encode(), silence) == 17
    sources = encode(SourcesState(offset=5))
    assert watch_order(sources_key(12).encode(), sources) == 5
    assert offset_order(KEY, encode(StreamAlerts(tenant="a", model="m", side="input", offset=9))) == 9
    assert offset_order(KEY, encode(AlertsHalf(offset=4))) == 4
    assert offset_order(KEY, encode(RequestsHalf(offset=3))) == 3


@pytest.mark.parametrize("order", [watch_order, offset_order])
def test_the_order_of_an_unreadable_state_is_an_error(order):
    with pytest.raises(StateUnreadable):
        order(KEY, b"\xc1")


async def test_the_tables_start_when_the_topics_of_all_agents_are_known(table):
    """Faust subscribes when the tables have started, and to a topic that becomes known later after 45 s."""
    app, known = table.app, asyncio.Event()
    app.agents["agent"] = SimpleNamespace(channel=SimpleNamespace(topics=["signals", "findings"]))
    app.topics.add(app.topic("signals"))
    started = []
    tables = app.tables
    tables._update_channels = AsyncMock(side_effect=lambda: started.append("tables"))
    tables._recovery = SimpleNamespace(start=AsyncMock(side_effect=lambda: started.append("recovery")))

    async def pause(_seconds):
        assert not started
        known.set()
        await asyncio.sleep(0)

    tables.sleep = pause
    starting = asyncio.create_task(tables.on_start())
    await known.wait()
    app.topics.add(app.topic("findings"))
    await starting
    assert started == ["tables", "recovery"]
    await tables.on_start()  # all topics are known: there is no pause, in which `pause` would fail
